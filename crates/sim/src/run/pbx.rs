//! `wa-sbc sim pbx`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sdp::Codec;
use sip::{Flow, FlowId, Target, Transport};
use tokio::net::{TcpListener, UdpSocket};

use super::{Actor, Dialler, Incoming, Sink, Stage, connection, counted, fresh_seed, named};
use crate::cli::{PbxArgs, seconds};
use crate::pbx::PbxPeer;
use crate::pbx::knobs::{AgentCall, PbxScript, PbxSettings, PbxThen};
use crate::report::What;

/// A PBX with the calls it is to place.
pub(super) struct Pbx {
    peer: PbxPeer,
    plan: AgentCall,
}

/// Runs a PBX on real sockets until it is told to stop; reports go to stdout.
///
/// # Errors
/// An address that cannot be bound, flags that make no sense; at the end, rules the far side broke.
pub async fn run_pbx(args: PbxArgs) -> Result<(), String> {
    let stage = open(&args, Box::new(std::io::stdout())).await?;
    stage.perform(&args.load).await
}

/// Everything bound, nothing running yet.
pub(super) async fn open(args: &PbxArgs, sink: Sink) -> Result<Stage<Pbx>, String> {
    let started = Instant::now();
    let failed = |error: std::io::Error| format!("{}: {error}", args.listen);
    let udp = Arc::new(UdpSocket::bind(args.listen).await.map_err(failed)?);
    let local = udp.local_addr().map_err(failed)?;
    let listener = TcpListener::bind(local).await.map_err(failed)?;
    let peer = PbxPeer::new(settings(args, local)?, started);
    let plan = AgentCall {
        cancel_after: args.load.cancel_after.map(seconds),
        talk: args.talk.talk(),
        ..AgentCall::new(&args.from, &args.to)
    };
    let dialler = Dialler {
        tls: None,
        ip: args.sbc.ip(),
        from: local.ip(),
    };
    let mut stage = Stage::new(Pbx { peer, plan }, started, dialler, sink);
    stage.udp = Some(Arc::clone(&udp));
    stage.tell(What::Listening {
        address: local.to_string(),
        transport: Transport::Udp.param(),
    });
    stage.tell(What::Listening {
        address: local.to_string(),
        transport: Transport::Tcp.param(),
    });
    let inbox = stage.inbox.clone();
    tokio::spawn(async move {
        let mut next = 1 << 32;
        while let Ok((tcp, remote)) = listener.accept().await {
            let flow = Flow {
                id: FlowId(next),
                transport: Transport::Tcp,
                local,
                remote,
            };
            next += 2;
            tokio::spawn(connection::accept(tcp, flow, None, inbox.clone()));
        }
    });
    let inbox = stage.inbox.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok((length, from)) = udp.recv_from(&mut buffer).await else {
                continue;
            };
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            if inbox
                .send(Incoming::Sip {
                    to: local,
                    from,
                    bytes,
                })
                .is_err()
            {
                return;
            }
        }
    });
    Ok(stage)
}

fn settings(args: &PbxArgs, local: SocketAddr) -> Result<PbxSettings, String> {
    let codecs = args
        .codecs
        .iter()
        .map(|name| {
            [Codec::Pcma, Codec::Pcmu, Codec::Opus, Codec::TelephoneEvent]
                .into_iter()
                .find(|codec| codec.name().eq_ignore_ascii_case(name))
                .ok_or_else(|| format!("--codecs {name}: PCMA, PCMU, opus or telephone-event"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let after = seconds(args.answer.answer_after);
    let then = match (args.answer.refusal()?, args.answer.never_answer) {
        (_, true) => PbxThen::Never,
        (Some((status, reason)), _) => PbxThen::Refuse(after, status, reason),
        (None, _) => PbxThen::Answer(after),
    };
    let transport = if args.tcp {
        Transport::Tcp
    } else {
        Transport::Udp
    };
    Ok(PbxSettings {
        sbc: Target {
            transport,
            host: args.sbc.ip().to_string(),
            port: args.sbc.port(),
            from: None,
            at: None,
        },
        media: args.media.place(local.ip(), (40_000, 49_999))?,
        codecs,
        script: PbxScript {
            ring: args.answer.ring(),
            then,
            talk: args.talk.talk(),
            ..PbxScript::default()
        },
        seed: args.seed.unwrap_or_else(fresh_seed),
        ..PbxSettings::new(local, args.sbc)
    })
}

impl Actor for Pbx {
    const NAME: &'static str = "pbx";
    type Peer = PbxPeer;

    fn peer(&mut self) -> &mut PbxPeer {
        &mut self.peer
    }

    fn place(&mut self, now: Instant, nth: u32, to: Option<&str>) {
        let mut plan = self.plan.clone();
        plan.to = match to {
            Some(user) => user.to_owned(),
            None => counted(&plan.to, nth),
        };
        self.peer.call(now, plan);
    }

    fn command(&mut self, now: Instant, words: &[&str]) -> bool {
        match words {
            ["hangup", rest @ ..] => self.peer.hang_up(now, named(rest.first())),
            ["press", digits, rest @ ..] => self.peer.press(now, named(rest.first()), digits),
            ["mute", rest @ ..] => self.peer.mute(now, named(rest.first()), true),
            ["unmute", rest @ ..] => self.peer.mute(now, named(rest.first()), false),
            ["hold", rest @ ..] => self.peer.hold(now, named(rest.first()), true),
            ["resume", rest @ ..] => self.peer.hold(now, named(rest.first()), false),
            _ => return false,
        }
        true
    }

    fn summary(&self) -> What {
        let (calls, answered) = self.peer.ended();
        What::Summary {
            calls,
            answered,
            violations: 0,
            forbidden: 0,
            open: self.peer.calls().count() as u64,
        }
    }

    fn over(&self) -> u64 {
        self.peer.ended().0
    }
}
