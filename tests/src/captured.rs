//! A wa-sbc that is asked for captures: `wa-sbc capture` at its socket, and the files that come of it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use crate::capture::Capture;
use crate::certificates::Authority;
use crate::place::Place;
use crate::running::{Running, workspace};
use crate::sbc::{Sbc, Setup, binary};
use crate::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};

/// How long a capture may take to begin or to end, and a call to go by.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A wa-sbc between the simulated Meta and the simulated PBX.
pub struct Lab {
    /// Where.
    pub place: Place,
    /// Who signs certificates there.
    pub authority: Authority,
    /// The accused.
    pub sbc: Sbc,
}

impl Lab {
    /// Starts one; `change` says what is particular about it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn new(story: &str, change: impl FnOnce(&Place, &mut Setup)) -> Lab {
        let place = Place::new(story);
        let authority = Authority::new(&place);
        let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
        setup.tables = tables(&place);
        change(&place, &mut setup);
        let sbc = Sbc::start(&place, &authority, &setup);
        Lab {
            place,
            authority,
            sbc,
        }
    }

    /// One call of the user's, of so many seconds.
    ///
    /// # Panics
    /// When it does not go as it should.
    pub fn call(&self, seconds: u32) {
        let mut pbx: Vec<String> = agent_speaks().into();
        pbx.extend(["--exit-after", "1", "--at-most", "25"].map(str::to_owned));
        let mut meta: Vec<String> = user_speaks().into();
        let seconds = seconds.to_string();
        let more = [
            "--calls",
            "1",
            "--at-most",
            "25",
            "--hang-up-after",
            &seconds,
        ];
        meta.extend(more.map(str::to_owned));
        let meta: Vec<&str> = meta.iter().map(String::as_str).collect();
        let pbx: Vec<&str> = pbx.iter().map(String::as_str).collect();
        let mut desk = Simulated::pbx(&self.place, "pbx", &pbx);
        let mut user = Simulated::meta(&self.place, &self.authority, "meta", &meta);
        user.succeed(LIMIT);
        desk.succeed(LIMIT);
    }

    /// Asks the running program.
    ///
    /// # Panics
    /// When the binary does not run.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .arg("--config")
            .arg(&self.sbc.configuration);
        command.output().expect("the binary runs")
    }

    /// Begins a capture that goes on by itself; its name.
    ///
    /// # Panics
    /// When it is refused.
    pub fn begin(&self, of: &[&str]) -> String {
        let begun = self.ask(&[&["capture", "--detach"], of].concat());
        assert!(begun.status.success(), "{}", said(&begun));
        said(&begun).trim().to_owned()
    }

    /// Ends a capture; what tshark reads in its one file.
    ///
    /// # Panics
    /// When there is no such capture, or not one file of it.
    pub fn end(&self, name: &str) -> Capture {
        let stopped = self.ask(&["capture", "--stop", name]);
        assert!(stopped.status.success(), "{}", said(&stopped));
        Capture::of(self.file(name), &[])
    }

    /// The one file of a capture.
    ///
    /// # Panics
    /// When there is another number of files.
    pub fn file(&self, name: &str) -> PathBuf {
        let mut files = files(&self.place);
        files.retain(|file| file.to_string_lossy().contains(name));
        assert_eq!(files.len(), 1, "one file of {name}: {files:?}");
        files.remove(0)
    }
}

/// Where captures are asked for and written.
pub fn tables(place: &Place) -> String {
    format!(
        "[control]\nsocket = \"{}\"\n[capture]\ndir = \"{}\"\n",
        place.path("control.sock").display(),
        place.path("captures").display(),
    )
}

/// `wa-sbc capture`, which ends when it is interrupted.
///
/// # Panics
/// When it does not begin.
pub fn capture(place: &Place, sbc: &Sbc, arguments: &[&str]) -> Running {
    let mut command = Command::new(binary());
    command
        .args(["capture", "--config"])
        .arg(&sbc.configuration)
        .args(arguments);
    let mut running = Running::start(place, "capture", &mut command);
    running.wait_for("capture-", LIMIT);
    running
}

/// What captures of this place wrote, the oldest first.
pub fn files(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.path("captures")).into_iter();
    let mut files: Vec<PathBuf> = entries.flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    files
}

/// Everything a command printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Ends a capture of one file, has tshark look at it, replays it: the core acts as it acted. What the replay said. With
/// WA_SBC_KEEP_CAPTURES=1 the capture goes to `pcaps/` under its name, with what it is about and what comes of it.
///
/// # Panics
/// When it is wrong.
pub fn judged(place: &Place, running: &mut Running, (name, about): (&str, &str)) -> String {
    running.signal("INT");
    running.succeed(LIMIT);
    let files = files(place);
    let [file] = &files[..] else {
        panic!("one file: {files:?}")
    };
    let seen = Capture::of(file.clone(), &[]);
    assert_eq!(seen.malformed(), Vec::<String>::new(), "{name}");
    assert!(seen.count("sip.Method == \"INVITE\"") >= 2, "{name}");
    let lost: Vec<_> = seen
        .streams()
        .into_iter()
        .filter(|one| one.lost != 0)
        .collect();
    assert!(lost.is_empty(), "{name}: {lost:?}");
    let replayed = Command::new(binary())
        .args(["replay", "--quiet"])
        .arg(file)
        .output();
    let replayed = replayed.expect("the binary runs");
    let text = said(&replayed);
    assert!(replayed.status.success(), "{text}");
    assert!(
        text.contains("differs from the capture\n  nothing"),
        "{name}: {text}"
    );
    if std::env::var_os("WA_SBC_KEEP_CAPTURES").is_some() {
        let directory = workspace().join("pcaps").join(name);
        std::fs::create_dir_all(&directory).expect("pcaps/ is there");
        std::fs::copy(file, directory.join("call.pcapng")).expect("room");
        // Who is who is told anew: addresses change from run to run.
        let scene = directory.join("scene.toml");
        let _ = std::fs::remove_file(&scene);
        let accepted = Command::new(binary())
            .args(["replay", "--quiet", "--accept"])
            .arg(&directory)
            .output();
        assert!(accepted.is_ok_and(|output| output.status.code().is_some()));
        let told = std::fs::read_to_string(&scene).expect("accepted");
        let rest = told.lines().filter(|line| !line.starts_with("about = "));
        let rest: String = rest.map(|line| format!("{line}\n")).collect();
        std::fs::write(scene, format!("about = \"{about}\"\n{rest}")).expect("room");
    }
    text
}
