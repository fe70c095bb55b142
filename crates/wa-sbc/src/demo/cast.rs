//! The three programs: started, listened to, spoken to, ended.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use super::DemoError;
use super::lab::{HOST, Lab, NUMBER};

/// What each end says, in Hz: multiples of 100, far apart.
pub(super) const USER_TONE: u32 = 1_000;
pub(super) const DESK_TONE: u32 = 400;
/// The digits each end presses.
pub(super) const USER_DIGITS: &str = "42#";
pub(super) const DESK_DIGITS: &str = "17*";

/// Lines remembered for when something goes wrong.
const REMEMBERED: usize = 12;
/// How long a program may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The SBC's log.
    Log,
    /// The SBC's records of calls.
    Record,
    /// The simulated Meta.
    Meta,
    /// The simulated PBX.
    Pbx,
}

/// One line of JSON.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) at: Instant,
    pub(super) who: Who,
    /// As it was written.
    pub(super) line: String,
    /// As it was read.
    pub(super) what: Value,
}

impl Said {
    /// Whether it is this event of a simulated end.
    pub(super) fn is(&self, who: Who, event: &str) -> bool {
        self.who == who && self.what["event"] == event
    }
}

/// The programs. All are killed when this is dropped.
pub(super) struct Cast {
    programs: Vec<Program>,
    lines: mpsc::UnboundedReceiver<(Who, Option<String>)>,
    last: VecDeque<String>,
    verbose: bool,
}

struct Program {
    who: Who,
    name: &'static str,
    child: Child,
    keyboard: Option<ChildStdin>,
}

impl Cast {
    /// Starts all three and waits until they listen.
    pub(super) async fn start(lab: &Lab, verbose: bool) -> Result<Self, DemoError> {
        let (sender, lines) = mpsc::unbounded_channel();
        let mut cast = Self {
            programs: Vec::new(),
            lines,
            last: VecDeque::new(),
            verbose,
        };
        let path = |name: &str| lab.path(name).display().to_string();
        let number = |mut arguments: Vec<String>, tone: u32, expect: u32, digits: &str| {
            let more = [
                "--tone",
                &tone.to_string(),
                "--expect",
                &expect.to_string(),
                "--digits",
                digits,
            ];
            arguments.extend(more.map(str::to_owned));
            arguments
        };
        cast.program(
            "wa-sbc",
            Who::Log,
            lab,
            vec!["run".into(), "--config".into(), path("wa-sbc.toml")],
            &sender,
        )?;
        let meta = [
            ("--listen", lab.meta.to_string()),
            ("--cert", path("meta.pem")),
            ("--key", path("meta.key")),
            ("--ca", path("ca.pem")),
            ("--sbc", lab.tls.to_string()),
            ("--number", NUMBER.to_owned()),
            ("--hostname", HOST.to_owned()),
            ("--digits-after", "2".to_owned()),
        ];
        let pbx = [
            ("--listen", lab.pbx.to_string()),
            ("--sbc", lab.udp.to_string()),
            ("--from", NUMBER.to_owned()),
            ("--codecs", "PCMA,telephone-event".to_owned()),
            ("--digits-after", "3".to_owned()),
        ];
        let flags = |peer: &str, flags: &[(&str, String)]| {
            let words = flags
                .iter()
                .flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]);
            ["sim".to_owned(), peer.to_owned()]
                .into_iter()
                .chain(words)
                .collect::<Vec<_>>()
        };
        let meta = number(flags("meta", &meta), USER_TONE, DESK_TONE, USER_DIGITS);
        let pbx = number(flags("pbx", &pbx), DESK_TONE, USER_TONE, DESK_DIGITS);
        cast.program("sim meta", Who::Meta, lab, meta, &sender)?;
        cast.program("sim pbx", Who::Pbx, lab, pbx, &sender)?;
        let mut waiting = vec![Who::Log, Who::Meta, Who::Pbx];
        cast.until("all three to listen", PATIENCE, |said| {
            let listens = said.what["event"] == "listening" || said.what["message"] == "listening";
            waiting.retain(|who| !(listens && *who == said.who));
            waiting.is_empty()
        })
        .await?;
        Ok(cast)
    }

    fn program(
        &mut self,
        name: &'static str,
        who: Who,
        lab: &Lab,
        arguments: Vec<String>,
        lines: &mpsc::UnboundedSender<(Who, Option<String>)>,
    ) -> Result<(), DemoError> {
        let start = || {
            Command::new(std::env::current_exe()?)
                .args(arguments)
                .env("WA_SIP_PASSWORD", &lab.password)
                .env_remove("WA_SBC_LOG")
                .env_remove("WA_SBC_LOG_FORMAT")
                .env_remove("WA_SBC_CONFIG")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
        };
        let mut child = start().map_err(|why| DemoError::Start { program: name, why })?;
        let said = if who == Who::Log { Who::Record } else { who };
        listen(child.stdout.take(), said, lines.clone());
        listen(child.stderr.take(), who, lines.clone());
        let keyboard = child.stdin.take();
        self.programs.push(Program {
            who,
            name,
            child,
            keyboard,
        });
        Ok(())
    }

    /// Types a line at a program.
    pub(super) async fn type_at(&mut self, who: Who, line: &str) {
        let program = self.programs.iter_mut().find(|program| program.who == who);
        if let Some(keyboard) = program.and_then(|program| program.keyboard.as_mut()) {
            // A program that is gone is found out by whoever waits for its answer.
            let _ = keyboard.write_all(format!("{line}\n").as_bytes()).await;
            let _ = keyboard.flush().await;
        }
    }

    /// Everything said until `done` says so of a line.
    pub(super) async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        mut done: impl FnMut(&Said) -> bool,
    ) -> Result<Vec<Said>, DemoError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut heard = Vec::new();
        loop {
            match timeout_at(deadline, self.lines.recv()).await {
                Ok(Some((who, Some(line)))) => {
                    if let Some(said) = self.hear(who, &line) {
                        heard.push(said);
                        if heard.last().is_some_and(&mut done) {
                            return Ok(heard);
                        }
                    }
                }
                Ok(Some((who, None))) => {
                    return Err(DemoError::Died {
                        program: self.name(who),
                        last: self.last_words(),
                    });
                }
                Ok(None) => {
                    return Err(DemoError::Died {
                        program: "everything",
                        last: self.last_words(),
                    });
                }
                Err(_) => {
                    let seconds = patience.as_secs();
                    return Err(DemoError::Waited {
                        what: what.to_owned(),
                        seconds,
                        last: self.last_words(),
                    });
                }
            }
        }
    }

    /// Everything said within a time.
    pub(super) async fn during(&mut self, time: Duration) -> Result<Vec<Said>, DemoError> {
        let mut heard = Vec::new();
        let waited = self.until("", time, |said| {
            heard.push(said.clone());
            false
        });
        match waited.await {
            Err(DemoError::Waited { .. }) | Ok(_) => Ok(heard),
            Err(error) => Err(error),
        }
    }

    /// Ends all three, the SBC by SIGTERM; how many rules each simulated end saw broken.
    pub(super) async fn end(mut self) -> Vec<(&'static str, u64)> {
        for who in [Who::Meta, Who::Pbx] {
            self.type_at(who, "quit").await;
        }
        let mut broken = Vec::new();
        while broken.len() < 2 {
            let Ok(Some((who, line))) = timeout(PATIENCE, self.lines.recv()).await else {
                break;
            };
            if let Some(said) = line.and_then(|line| self.hear(who, &line))
                && said.what["event"] == "summary"
            {
                let counted = |key: &str| said.what[key].as_u64().unwrap_or(u64::MAX);
                broken.push((
                    self.name(who),
                    counted("violations").saturating_add(counted("forbidden")),
                ));
            }
        }
        for program in &mut self.programs {
            if program.who == Who::Log
                && let Some(pid) = program
                    .child
                    .id()
                    .and_then(|pid| Pid::from_raw(pid.cast_signed()))
            {
                let _ = kill_process(pid, Signal::TERM);
            }
            // Whoever does not end is killed when the cast is dropped.
            let _ = timeout(PATIENCE, program.child.wait()).await;
        }
        broken
    }

    fn hear(&mut self, who: Who, line: &str) -> Option<Said> {
        if self.verbose {
            eprintln!("{}: {line}", self.name(who));
        }
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(format!("  {}: {line}", self.name(who)));
        let what = serde_json::from_str(line).ok()?;
        Some(Said {
            at: crate::clock::now(),
            who,
            line: line.to_owned(),
            what,
        })
    }

    fn name(&self, who: Who) -> &'static str {
        let who = if who == Who::Record { Who::Log } else { who };
        self.programs
            .iter()
            .find(|program| program.who == who)
            .map_or("nobody", |program| program.name)
    }

    fn last_words(&self) -> String {
        self.last.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// Hands on every line, and `None` at the end.
fn listen<R>(from: Option<R>, who: Who, lines: mpsc::UnboundedSender<(Who, Option<String>)>)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let Some(from) = from else { return };
    tokio::spawn(async move {
        let mut from = BufReader::new(from).lines();
        while let Ok(Some(line)) = from.next_line().await {
            if lines.send((who, Some(line))).is_err() {
                return;
            }
        }
        let _ = lines.send((who, None));
    });
}
