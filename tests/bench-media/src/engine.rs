//! The media threads of wa-sbc alone: their ports and sessions on real sockets, told what to do as the core tells them, without a
//! word of SIP. It is what rtpengine, which knows no SIP either, is to be compared with in memory: dialogs, records and ladders
//! are counted where the whole program runs. A process of its own: `bench-media engine …`.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use b2bua::{CallId, MediaCommand, MediaEvent, Network};
use sdp::plan::{Gate, Latch, LegPlan, Proof, Silence};
use sdp::{Agreed, Codec, Direction, Keying, Negotiated, Side};
use tests::place::Place;
use tests::processors::alone;
use tests::running::Running;
use tokio::sync::mpsc::unbounded_channel;
use wa_sbc::config::{MediaSettings, MetaPort};
use wa_sbc::media::{PortRange, Workers};

use crate::ends::{End, Ends, KEYS, crypto, payload_type};
use crate::through_sbc::MEDIA_PORT;

/// The running media threads.
pub(crate) struct ThroughEngine {
    /// The program.
    pub(crate) running: Running,
    place: [IpAddr; 2],
    codecs: (Codec, Codec),
    placed: usize,
}

impl ThroughEngine {
    /// Starts them, with no call.
    pub(crate) fn start(place: &Place, codecs: (Codec, Codec)) -> ThroughEngine {
        let addresses = [9, 10].map(|host| place.address(host));
        let program = std::env::current_exe().expect("this program is a file");
        let mut command = Command::new(program);
        command
            .arg("engine")
            .args([codecs.0, codecs.1].map(Codec::name))
            .args(addresses.map(|address| address.to_string()))
            .args([21, 31].map(|host| format!("{}:{MEDIA_PORT}", place.address(host))));
        let mut running = alone(|| Running::start_listening(place, "engine", &mut command));
        running.wait_for("ready", Duration::from_secs(10));
        ThroughEngine {
            running,
            place: addresses,
            codecs,
            placed: 0,
        }
    }

    /// The next calls.
    ///
    /// # Errors
    /// When the process says something else than where they are.
    pub(crate) fn place(&mut self, count: usize, mut up: impl FnMut(Ends)) -> Result<(), String> {
        self.running.say(&count.to_string());
        let all = self.placed + count;
        self.running
            .wait_for(&format!("{all} calls"), Duration::from_secs(20));
        let log = self.running.log();
        let calls = log.lines().filter_map(|line| line.strip_prefix("call "));
        for line in calls.skip(self.placed) {
            let ports: Vec<u16> = line.split(' ').flat_map(str::parse).collect();
            let [meta, pbx] = ports[..] else {
                return Err(format!("the media threads said {line}"));
            };
            up(Ends {
                meta: End {
                    remote: SocketAddr::new(self.place[0], meta),
                    pt: payload_type(self.codecs.0),
                    seals: Some(KEYS[0]),
                    opens: Some(KEYS[1]),
                    hears: None,
                },
                pbx: End {
                    remote: SocketAddr::new(self.place[1], pbx),
                    pt: payload_type(self.codecs.1),
                    seals: None,
                    opens: None,
                    hears: None,
                },
            });
        }
        self.placed = all;
        Ok(())
    }
}

/// The process itself: `CODEC CODEC META-SIDE PBX-SIDE META PBX`. Each line of its standard input is a number of further calls.
pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [a, b, public, private, meta, pbx] = arguments else {
        return Err("engine CODEC CODEC ADDRESS ADDRESS META PBX".into());
    };
    let codecs = [a, b].map(|name| match name.as_str() {
        "opus" => Codec::Opus,
        _ => Codec::Pcma,
    });
    let remotes: [SocketAddr; 2] = [meta.parse()?, pbx.parse()?];
    let settings = settings(public.parse()?, private.parse()?);
    let (tell, mut told) = unbounded_channel();
    let workers = Workers::start(&settings, &tell)?;
    println!("ready");
    let mut calls = 0;
    for line in io::stdin().lock().lines() {
        for _ in 0..line?.parse::<u64>()? {
            let call = CallId(calls);
            calls += 1;
            let (a, b) = (Network::Public, Network::Private);
            workers.send(call, MediaCommand::Open { a, b });
            let ports = loop {
                match told.blocking_recv() {
                    Some((of, MediaEvent::Opened { a, b })) if of == call => break (a, b),
                    Some((_, MediaEvent::Failed(why))) => return Err(why.into()),
                    Some(_) => {}
                    None => return Err("the media thread ended".into()),
                }
            };
            let plans = Box::new(plans(calls as u32, codecs, remotes));
            workers.send(call, MediaCommand::Start { plans });
            println!("call {} {}", ports.0.rtp_port, ports.1.rtp_port);
        }
        println!("{calls} calls");
        io::stdout().flush()?;
    }
    workers.stop();
    Ok(())
}

/// As the program has them when nothing is configured, with one thread.
fn settings(public: IpAddr, private: IpAddr) -> MediaSettings {
    let engine = media::EngineSettings::default();
    MediaSettings {
        public,
        public_bind: public,
        private,
        private_bind: private,
        ports: PortRange::new(10_000, 59_999).expect("a range"),
        meta_port: MetaPort::PerCall,
        threads: 1,
        dscp: 46,
        opus_complexity: engine.opus_complexity,
        opus_bitrate: engine.opus_bitrate,
        preroll: engine.preroll,
        tell_reports: false,
    }
}

/// As calls are made of a user and an agent.
fn plans(call: u32, codecs: [Codec; 2], remotes: [SocketAddr; 2]) -> [LegPlan; 2] {
    let leg = |side: Side| {
        let at = side.index();
        let is_meta = side == Side::A;
        let rtp = remotes[at];
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        LegPlan {
            agreed: Agreed {
                remote_rtp: rtp,
                remote_rtcp: if is_meta { rtp } else { rtcp },
                rtcp_mux: is_meta,
                audio: negotiated(codecs[at]),
                dtmf: None,
                ptime: 20,
                keying: match side {
                    Side::A => Keying::Sdes {
                        local: crypto(KEYS[1]).into(),
                        remote: crypto(KEYS[0]).into(),
                    },
                    Side::B => Keying::None,
                },
                direction: Direction::SendRecv,
                wants_voip_metrics: false,
            },
            ssrc: 0x5000_0000 * (at as u32 + 1) + call,
            cname: "audio@sbc".to_owned(),
            gate: Gate::Open,
            proof: is_meta.then_some(Proof::Heard),
            silence: if is_meta {
                Silence::Frames
            } else {
                Silence::Rtcp
            },
            latch: match side {
                Side::A => Latch::Authenticated,
                Side::B => Latch::Plausible { signalling: None },
            },
            inactivity: Some(Duration::from_secs(20)),
            quiet: Some(Duration::from_secs(10)),
            unsolicited_dtmf: is_meta.then_some(126),
            care: Default::default(),
        }
    };
    [leg(Side::A), leg(Side::B)]
}

fn negotiated(codec: Codec) -> Negotiated {
    Negotiated {
        codec,
        send_pt: payload_type(codec),
        receive_pt: payload_type(codec),
        remote_fmtp: None,
    }
}
