//! Calls through the real binary: the simulated Meta calls over TLS, the simulated PBX answers over UDP.
//! They exchange SDP only; what stands in it is handed to the load generator, which speaks.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::ClientConfig;
use sdp::Codec;
use sim::meta::knobs::{BusinessNumber, MediaPlace, MetaSettings, UserCall};
use sim::pbx::knobs::{PbxScript, PbxSettings, PbxThen};
use sim::peer::{Output, Peer};
use sim::{MetaPeer, PbxPeer};
use sip::{Flow, FlowId, Message, Transport};
use tests::certificates::Authority;
use tests::place::{Place, wait_until};
use tests::processors::alone;
use tests::running::Running;
use tests::sbc::{DOMAIN, HOST, NUMBER, PASSWORD, binary};
use tests::sipp::wait_listening;

use crate::ends::{Described, End, Ends};
use crate::link::{Link, client};

/// The port all ends of one kind share; see [`crate::load`].
pub(crate) const MEDIA_PORT: u16 = 30_000;

/// Which wa-sbc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// As it is.
    Usual,
    /// With one port towards Meta for all calls.
    SharedPort,
    /// Another one, to compare with: [`before`].
    Before,
}

/// The program `BENCH_BEFORE` names.
pub(crate) fn before() -> Option<PathBuf> {
    std::env::var_os("BENCH_BEFORE").map(PathBuf::from)
}

/// A running wa-sbc and the peers that place calls through it.
pub(crate) struct ThroughSbc {
    /// The program.
    pub(crate) running: Running,
    meta: MetaPeer,
    pbx: PbxPeer,
    tls: Arc<ClientConfig>,
    sbc: SocketAddr,
    links: HashMap<FlowId, Link>,
    udp: UdpSocket,
    pbx_flow: Flow,
    placed: u32,
    /// All calls share one port towards Meta.
    shared: bool,
    /// What was described so far, by the caller's number.
    calls: HashMap<String, Descriptions>,
    /// Caller's number by Call-ID, on either leg.
    callers: HashMap<String, String>,
    /// Refusals Meta heard, by status.
    pub(crate) refused: HashMap<u16, usize>,
}

/// The four descriptions of a call.
#[derive(Default)]
struct Descriptions {
    /// Meta's own, and the one it was given.
    meta: [Option<Described>; 2],
    /// The PBX's own, and the one it was given.
    pbx: [Option<Described>; 2],
}

impl ThroughSbc {
    /// Starts wa-sbc with one media thread and calls of these codecs; `lines` are further tables of
    /// its configuration.
    ///
    /// # Errors
    /// When a socket cannot be bound.
    pub(crate) fn start(
        place: &Place,
        build: Build,
        codecs: (Codec, Codec),
        lines: &str,
    ) -> Result<ThroughSbc, String> {
        let (program, meta_port) = match build {
            Build::Usual => (binary().to_owned(), ""),
            Build::SharedPort => (binary().to_owned(), "meta_port = \"single\""),
            Build::Before => (before().ok_or("no other build was named")?, ""),
        };
        let authority = Authority::new(place);
        let (public, private) = (place.address(1), place.address(2));
        let (sbc, sip) = (
            SocketAddr::new(public, 5061),
            SocketAddr::new(private, 5060),
        );
        let pbx_address = SocketAddr::new(place.address(31), 5060);
        let identity = authority.identity(place, &[HOST]);
        let configuration = place.write(
            "wa-sbc.toml",
            format!(
                r#"[sip]
host = "{HOST}"
tls = {{ listen = "{sbc}", certificate = "{certificate}", key = "{key}" }}
udp = {{ listen = "{sip}" }}
drain = 1
max_calls = 20000

[media]
public = "{public}"
private = "{private}"
ports = "10000-59999"
threads = 1
{meta_port}

[meta]
connect = "{meta}:5061"
extra_ca = "{ca}"
networks = ["127.0.0.0/8"]

[[number]]
e164 = "{NUMBER}"
domain = "{DOMAIN}"
password = {{ env = "WA_SBC_TEST_PASSWORD" }}
trunk = "office"
challenge = false
codecs = ["{codec_a}"]
max_calls = 20000

[[trunk]]
name = "office"
peer = "sip:{pbx_address};transport=udp"
networks = ["{pbx_ip}/32"]
codecs = ["{codec_b}"]
max_calls = 20000

[records]
file = "{records}"

[log]
filter = "warn"

{lines}
"#,
                certificate = identity.certificate.display(),
                key = identity.key.display(),
                meta = place.address(21),
                ca = authority.certificate.display(),
                codec_a = codecs.0.name(),
                codec_b = codecs.1.name(),
                pbx_ip = pbx_address.ip(),
                records = place.path("records.jsonl").display(),
            ),
        );
        let mut command = Command::new(program);
        command
            .args(["run", "--config"])
            .arg(&configuration)
            .env("WA_SBC_TEST_PASSWORD", PASSWORD);
        let mut running = alone(|| Running::start(place, "wa-sbc", &mut command));
        wait_until("wa-sbc runs", Duration::from_secs(10), || {
            assert!(running.alive(), "{}", running.tail());
            std::net::TcpStream::connect(sbc).is_ok()
        });
        wait_listening(sip, false);
        let now = Instant::now();
        let udp = UdpSocket::bind(pbx_address).map_err(|error| error.to_string())?;
        udp.set_nonblocking(true)
            .map_err(|error| error.to_string())?;
        let pbx_flow = Flow {
            id: FlowId(2),
            transport: Transport::Udp,
            local: pbx_address,
            remote: sip,
        };
        Ok(ThroughSbc {
            running,
            meta: MetaPeer::new(meta(place, codecs.0), now),
            pbx: PbxPeer::new(pbx(place, codecs.1, pbx_address, sip), now),
            tls: client(&authority.certificate)?,
            sbc,
            links: HashMap::new(),
            udp,
            pbx_flow,
            placed: 0,
            shared: build == Build::SharedPort,
            calls: HashMap::new(),
            callers: HashMap::new(),
            refused: HashMap::new(),
        })
    }

    /// Places calls, `rate` a second, and gives each to `up` as soon as it is answered. Returns how many were.
    pub(crate) fn place(&mut self, count: usize, rate: f64, mut up: impl FnMut(Ends)) -> usize {
        let began = Instant::now();
        let last = began + Duration::from_secs_f64(count as f64 / rate) + Duration::from_secs(20);
        let (mut placed, mut answered) = (0, 0);
        let refused = |this: &Self| this.refused.values().sum::<usize>();
        let before = refused(self);
        while answered + refused(self) - before < count && Instant::now() < last {
            let now = Instant::now();
            while placed < count && now >= began + Duration::from_secs_f64(placed as f64 / rate) {
                let caller = format!("+1219{:07}", self.placed);
                self.placed += 1;
                placed += 1;
                self.meta.call(now, UserCall::new(&caller, NUMBER));
            }
            answered += self.turn(&mut up);
            std::thread::sleep(Duration::from_millis(1));
        }
        // The ACKs of the last calls leave.
        for _ in 0..100 {
            self.turn(&mut up);
            std::thread::sleep(Duration::from_millis(1));
        }
        answered
    }

    /// Moves messages for a while, so that nothing the peers have to answer waits.
    pub(crate) fn idle(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.turn(&mut |_| {});
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn turn(&mut self, up: &mut impl FnMut(Ends)) -> usize {
        let now = Instant::now();
        let mut buffer = [0; 65_536];
        while let Ok((length, source)) = self.udp.recv_from(&mut buffer) {
            if let Ok(message) = sip::parse(Bytes::copy_from_slice(&buffer[..length])) {
                self.note(&message, 1, 1);
                let flow = Flow {
                    remote: source,
                    ..self.pbx_flow
                };
                self.pbx.receive(now, flow, message);
            }
        }
        let mut came = Vec::new();
        self.links.retain(|_, link| match link.turn() {
            Ok(messages) => {
                came.extend(messages.into_iter().map(|message| (link.flow, message)));
                true
            }
            Err(_) => false,
        });
        for (flow, message) in came {
            if let Message::Response(response) = &message
                && response.status >= 300
            {
                *self.refused.entry(response.status).or_default() += 1;
            }
            self.note(&message, 0, 1);
            self.meta.receive(now, flow, message);
        }
        self.meta.timeout(now);
        self.pbx.timeout(now);
        while let Some(output) = self.meta.poll() {
            self.perform_meta(now, output);
        }
        while let Some(output) = self.pbx.poll() {
            if let Output::Send { bytes, .. } = output {
                self.note_bytes(&bytes, 1, 0);
                let _ = self.udp.send_to(&bytes, self.pbx_flow.remote);
            }
        }
        for link in self.links.values_mut() {
            let _ = link.turn();
        }
        self.complete(up)
    }

    fn perform_meta(&mut self, now: Instant, output: Output) {
        match output {
            Output::Connect { id, target } => {
                match Link::open(id, &target.host, self.sbc, self.tls.clone()) {
                    Ok(link) => {
                        let flow = link.flow;
                        self.links.insert(id, link);
                        self.meta.opened(now, flow);
                    }
                    Err(error) => self.meta.failed(now, id, &error.to_string()),
                }
            }
            Output::Send { flow, bytes } => {
                self.note_bytes(&bytes, 0, 0);
                if let Some(link) = self.links.get_mut(&flow) {
                    link.write(&bytes);
                }
            }
            Output::Close { id } => drop(self.links.remove(&id)),
            _ => {}
        }
    }

    fn note_bytes(&mut self, bytes: &Bytes, leg: usize, given: usize) {
        if let Ok(message) = sip::parse(bytes.clone()) {
            self.note(&message, leg, given);
        }
    }

    /// Remembers the description in a message of a leg (0: Meta's), said by the peer or `given` to it.
    fn note(&mut self, message: &Message, leg: usize, given: usize) {
        let Some(described) = Described::read(&String::from_utf8_lossy(message.body())) else {
            return;
        };
        let (id, from) = match message {
            Message::Request(request) => (request.call_id(), request.from()),
            Message::Response(response) => (response.call_id(), response.from()),
        };
        let (Some(id), Some(from)) = (id, from) else {
            return;
        };
        let user = from.uri.user().map(str::to_owned);
        let caller = self
            .callers
            .entry(id.to_string())
            .or_insert_with(|| user.unwrap_or_default())
            .clone();
        let call = self.calls.entry(caller).or_default();
        let descriptions = if leg == 0 {
            &mut call.meta
        } else {
            &mut call.pbx
        };
        descriptions[given] = Some(described);
    }

    /// Hands out the calls all is known about.
    fn complete(&mut self, up: &mut impl FnMut(Ends)) -> usize {
        let before = self.calls.len();
        let shared = self.shared;
        self.calls.retain(|_, call| match (&call.meta, &call.pbx) {
            ([Some(meta), Some(to_meta)], [Some(_), Some(to_pbx)]) => {
                up(Ends {
                    meta: End {
                        remote: to_meta.rtp,
                        pt: to_meta.pt,
                        seals: meta.key,
                        opens: to_meta.key,
                        hears: to_meta.ssrc.filter(|_| shared),
                    },
                    pbx: End {
                        remote: to_pbx.rtp,
                        pt: to_pbx.pt,
                        seals: None,
                        opens: None,
                        hears: None,
                    },
                });
                false
            }
            _ => true,
        });
        before - self.calls.len()
    }
}

fn media(place: &Place, host: u8) -> MediaPlace {
    MediaPlace {
        address: place.address(host),
        first_port: MEDIA_PORT,
        ports: 2,
        silent: true,
    }
}

fn meta(place: &Place, codec: Codec) -> MetaSettings {
    let number = BusinessNumber {
        g711: codec != Codec::Opus,
        ..BusinessNumber::new(NUMBER, HOST, 5061, PASSWORD)
    };
    MetaSettings {
        numbers: vec![number],
        media: media(place, 21),
        shared_connection: true,
        ..MetaSettings::default()
    }
}

fn pbx(place: &Place, codec: Codec, address: SocketAddr, sbc: SocketAddr) -> PbxSettings {
    PbxSettings {
        media: media(place, 31),
        codecs: vec![codec],
        script: PbxScript {
            ring: None,
            then: PbxThen::Answer(Duration::ZERO),
            ..PbxScript::default()
        },
        ..PbxSettings::new(address, sbc)
    }
}
