//! `wa-sbc sim meta`.

use std::time::Instant;

use sip::{Flow, Transport};
use tokio::net::TcpListener;

use super::{Actor, Dialler, Incoming, Sink, Stage, connection, counted, fresh_seed, named, tls};
use crate::cli::{MetaArgs, seconds};
use crate::meta::MetaPeer;
use crate::meta::digest::Hash;
use crate::meta::knobs::{
    BusinessNumber, BusinessScript, ChallengeStyle, MetaSettings, Then, UserCall,
};
use crate::report::What;

/// A Meta with the calls it is to place.
pub(super) struct Meta {
    peer: MetaPeer,
    plan: UserCall,
    numbers: Vec<String>,
}

/// Runs a strict Meta on real sockets until it is told to stop; reports go to stdout.
///
/// # Errors
/// Files that cannot be read, an address that cannot be bound, flags that make no sense; at the end,
/// rules the far side broke.
pub async fn run_meta(args: MetaArgs) -> Result<(), String> {
    let stage = open(&args, Box::new(std::io::stdout())).await?;
    stage.perform(&args.load).await
}

/// Everything bound, nothing running yet.
pub(super) async fn open(args: &MetaArgs, sink: Sink) -> Result<Stage<Meta>, String> {
    let started = Instant::now();
    let (server, client) = (tls::server(&args.cert, &args.key)?, tls::client(&args.ca)?);
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("{}: {error}", args.listen))?;
    let local = listener.local_addr().map_err(|error| error.to_string())?;
    let peer = MetaPeer::new(settings(args)?, started);
    let plan = UserCall {
        display: args.display.clone(),
        cancel_after: args.load.cancel_after.map(seconds),
        cancel_ringing_after: args.cancel_ringing_after.map(seconds),
        cta_payload: args.cta_payload.clone(),
        retry_elsewhere: args.retry_elsewhere,
        wrong_password: args.wrong_password.clone(),
        talk: args.talk.talk(),
        ..UserCall::new(&args.caller, &args.numbers[0])
    };
    let dialler = Dialler {
        tls: Some(client),
        ip: args.sbc.ip(),
        from: local.ip(),
    };
    let mut stage = Stage::new(
        Meta {
            peer,
            plan,
            numbers: args.numbers.clone(),
        },
        started,
        dialler,
        sink,
    );
    stage.tell(What::Listening {
        address: local.to_string(),
        transport: Transport::Tls.param(),
    });
    let inbox = stage.inbox.clone();
    tokio::spawn(async move {
        // Ids of accepted connections: even, apart from those of the stage.
        let mut next = 1 << 32;
        while let Ok((tcp, remote)) = listener.accept().await {
            let flow = Flow {
                id: sip::FlowId(next),
                transport: Transport::Tls,
                local,
                remote,
            };
            next += 2;
            tokio::spawn(connection::accept(
                tcp,
                flow,
                Some(server.clone()),
                inbox.clone(),
            ));
        }
        let _ = inbox.send(Incoming::Line("quit".into()));
    });
    Ok(stage)
}

fn settings(args: &MetaArgs) -> Result<MetaSettings, String> {
    let hashes = args
        .challenge
        .iter()
        .map(|name| {
            Hash::named(Some(name)).ok_or_else(|| format!("--challenge {name}: md5 or sha-256"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let after = seconds(args.answer.answer_after);
    let then = match (args.answer.refusal()?, args.answer.never_answer) {
        (_, true) => Then::Never,
        (Some((status, reason)), _) => Then::Refuse(after, status, reason),
        (None, _) => Then::Answer(after),
    };
    let numbers = args.numbers.iter().map(|number| BusinessNumber {
        g711: args.g711,
        ..BusinessNumber::new(number, &args.hostname, args.sbc.port(), &args.password)
    });
    Ok(MetaSettings {
        domain: args.domain.clone(),
        numbers: numbers.collect(),
        challenge: ChallengeStyle {
            status: args.challenge_status,
            hashes,
            ..ChallengeStyle::default()
        },
        media: args.media.place(args.listen.ip(), (30_000, 39_999))?,
        shared_connection: args.shared_connection,
        script: BusinessScript {
            ring: args.answer.ring(),
            then,
            talk: args.talk.talk(),
            ..BusinessScript::default()
        },
        seed: args.seed.unwrap_or_else(fresh_seed),
        ..MetaSettings::default()
    })
}

impl Actor for Meta {
    const NAME: &'static str = "meta";
    type Peer = MetaPeer;

    fn peer(&mut self) -> &mut MetaPeer {
        &mut self.peer
    }

    fn place(&mut self, now: Instant, nth: u32, to: Option<&str>) {
        let mut plan = self.plan.clone();
        plan.caller = match to {
            Some(caller) => caller.to_owned(),
            None => counted(&plan.caller, nth),
        };
        plan.number = self.numbers[nth as usize % self.numbers.len()]
            .trim_start_matches('+')
            .to_owned();
        self.peer.call(now, plan);
    }

    fn command(&mut self, now: Instant, words: &[&str]) -> bool {
        match words {
            ["hangup", rest @ ..] => self.peer.hang_up(now, named(rest.first())),
            ["press", digits, rest @ ..] => self.peer.press(now, named(rest.first()), digits),
            ["mute", rest @ ..] => self.peer.mute(now, named(rest.first()), true),
            ["unmute", rest @ ..] => self.peer.mute(now, named(rest.first()), false),
            _ => return false,
        }
        true
    }

    fn summary(&self) -> What {
        let counts = self.peer.counts();
        What::Summary {
            calls: counts.ended,
            answered: counts.answered,
            violations: counts.violations,
            forbidden: counts.forbidden,
            open: self.peer.calls().count() as u64,
        }
    }

    fn over(&self) -> u64 {
        self.peer.counts().ended
    }
}
