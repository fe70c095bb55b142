//! A core between a carrier and a PBX written by hand, its clock, and what both sides say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use b2bua::profile::{
    Extensions, LatchRule, MetadataNames, OpaqueUser, PBX, PeerProfile, Progress, Reoffer,
};
use b2bua::settings::{
    AdmissionPolicy, Carrier, MetadataPass, Number, NumberLimits, Settings, Trunk,
};
use b2bua::{Core, E164, Input, LocalMedia, MediaCommand, MediaEvent, Output, Record};
use bytes::Bytes;
use sdp::plan::{Proof, Silence};
use sdp::{Codec, Suite};
use sip::{Flow, FlowId, Secret, Target, TimerSettings, Transport};

pub(crate) const CARRIER: PeerProfile = PeerProfile {
    name: "carrier",
    allow: "INVITE, ACK, BYE, CANCEL, OPTIONS",
    progress: Progress::RingingOnly,
    reoffer: Reoffer::OnlyUnchanged,
    nat: b2bua::profile::Nat::Never,
    alias: false,
    extensions: Extensions::NONE,
    opaque_user: Some(OpaqueUser {
        letters: 2,
        separator: '.',
        longest: 128,
    }),
    fixed_headers: &[],
    from_host_fixed: false,
    refusals: &[],
    gated: true,
    silence: Silence::Frames,
    exact_ptime: true,
    latch: LatchRule::Authenticated,
    inactivity: Some(Duration::from_secs(20)),
    quiet: Some(Duration::from_secs(10)),
    proof: Some(Proof::Heard),
    unsolicited_dtmf: Some(126),
    digits: b2bua::profile::Digits::Events,
    opus_pt: 111,
    dtmf_pt: 126,
    opus_fmtp: "useinbandfec=1",
    print_ssrc: true,
    metadata: Some(&MetadataNames {
        prefix: "x-wa-meta-",
        reference: "x-wa-meta-wacid",
        reference_call_id_prefix: "outgoing:",
        duration: "x-wa-meta-call-duration",
    }),
};

pub(crate) fn settings() -> Settings {
    let target = |transport, host: &str, port| Target {
        transport,
        host: host.into(),
        port,
        from: None,
        at: None,
    };
    Settings {
        node: 1,
        carrier: Carrier {
            profile: Arc::new(CARRIER),
            domain: "wa.meta.vc".into(),
            target: target(Transport::Tls, "wa.meta.vc", 5061),
            networks: Vec::new(),
            ptime: 20,
            rtcp_mux: true,
        },
        numbers: vec![Arc::new(Number {
            e164: E164::parse("+12145551869").unwrap(),
            host: "meta-voip.example.com".into(),
            port: 5061,
            domain: "meta-voip.example.com".into(),
            realm: "meta-voip.example.com".into(),
            username: "12145551869".into(),
            password: Some(Secret::new("9fT3kWq7ZsL2xVb8Rm4N".to_owned())),
            challenge: false,
            plus: true,
            trunk: "office".into(),
            routes: Vec::new(),
            codecs: vec![Codec::Opus, Codec::TelephoneEvent],
            suites: vec![Suite::AesCm128HmacSha1_80],
            no_answer: Duration::from_secs(25),
            ring_limit: Duration::from_secs(60),
            limits: NumberLimits::default(),
        })],
        groups: Vec::new(),
        aliases: None,
        trunks: vec![Arc::new(Trunk {
            name: "office".into(),
            profile: Arc::new(PBX),
            target: target(Transport::Udp, "10.0.0.20", 5060),
            transports: Vec::new(),
            backups: Vec::new(),
            ping: None,
            domain: "10.0.0.20".into(),
            sent_by: "10.0.0.5:5060".into(),
            networks: vec!["10.0.0.20/32".parse().unwrap()],
            codecs: vec![Codec::Pcma, Codec::TelephoneEvent],
            ptime: 20,
            max_calls: 10,
            pstn: false,
            access: Default::default(),
            comfort: Default::default(),
            media: Default::default(),
            policy: b2bua::settings::TrunkPolicy::default(),
        })],
        timers: TimerSettings::default(),
        nonce_ttl: Duration::from_secs(60),
        max_calls: 10,
        metadata: MetadataPass {
            enabled: true,
            prefix: "x-wa-meta-".into(),
            reference: "X-WA-Call-Id".into(),
        },
        product: "sbc".into(),
        admission: AdmissionPolicy::default(),
        registrar: Default::default(),
    }
}

/// A core, its clock, and what it said.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<(FlowId, String)>,
    pub(crate) media: Vec<MediaCommand>,
    pub(crate) records: Vec<Record>,
    pub(crate) connects: Vec<(FlowId, Target)>,
    pub(crate) looked_for: Vec<Target>,
    pub(crate) wait: Option<Instant>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
        let now = Instant::now();
        Self {
            core: Core::new(settings, [7; 32], now, SystemTime::UNIX_EPOCH),
            now,
            sent: Vec::new(),
            media: Vec::new(),
            records: Vec::new(),
            connects: Vec::new(),
            looked_for: Vec::new(),
            wait: None,
        }
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input);
        loop {
            match self.core.poll() {
                Output::Send { flow, bytes } => {
                    self.sent
                        .push((flow, String::from_utf8_lossy(&bytes).into_owned()));
                }
                Output::Media { call, command } => {
                    let event = match &command {
                        MediaCommand::Open { .. } => Some(MediaEvent::Opened {
                            a: local("203.0.113.20", 20_000),
                            b: local("10.0.0.5", 20_002),
                        }),
                        MediaCommand::Close => Some(MediaEvent::Closed(Box::default())),
                        _ => None,
                    };
                    self.media.push(command);
                    if let Some(event) = event {
                        self.core.handle(self.now, Input::Media { call, event });
                    }
                }
                Output::Record(record) => self.records.push(*record),
                Output::Connect { id, target } => self.connects.push((id, target)),
                Output::Locate { target, .. } => self.looked_for.push(target),
                Output::Leg { .. }
                | Output::Bar { .. }
                | Output::Alias(_)
                | Output::Whereabouts(_)
                | Output::Log(_)
                | Output::Event(_)
                | Output::Reply { .. } => {}
                Output::Wait(at) => {
                    self.wait = at;
                    return;
                }
            }
        }
    }

    /// The last question about a host that was not looked at yet.
    pub(crate) fn looked_for_of(&mut self, host: &str) -> Option<Target> {
        let at = self.looked_for.iter().rposition(|it| it.host == host)?;
        Some(self.looked_for.remove(at))
    }

    pub(crate) fn receive(&mut self, flow: Flow, text: &str) {
        let message = sip::parse(Bytes::from(
            text.replace("\r\n", "\n").replace('\n', "\r\n"),
        ))
        .expect("a good message");
        self.handle(Input::Sip { flow, message });
    }

    /// Lets time pass, waking the core whenever it asks.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.wait.filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = until;
    }

    /// Takes the one message sent since the last time whose start line begins so.
    pub(crate) fn take(&mut self, start: &str) -> (FlowId, String) {
        let found = self
            .sent
            .iter()
            .position(|(_, text)| text.starts_with(start));
        let all: Vec<_> = self
            .sent
            .iter()
            .map(|(_, t)| t.lines().next().unwrap_or(""))
            .collect();
        let index = found.unwrap_or_else(|| panic!("no {start} among {all:#?}"));
        self.sent.remove(index)
    }
}

pub(crate) fn local(address: &str, port: u16) -> LocalMedia {
    LocalMedia {
        address: address.parse().unwrap(),
        rtp_port: port,
        rtcp_port: port + 1,
    }
}

pub(crate) fn flow(id: u64, transport: Transport, remote: &str) -> Flow {
    let local: SocketAddr = "203.0.113.20:5061".parse().unwrap();
    Flow {
        id: FlowId(id),
        transport,
        local,
        remote: remote.parse().unwrap(),
    }
}

pub(crate) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        .unwrap_or_else(|| panic!("no {name} in\n{message}"))
}

/// A response to `request` with `body`, as a plain PBX or carrier would write it.
pub(crate) fn response(request: &str, status: &str, tag: &str, extra: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().filter(|line| line.starts_with("Via:")) {
        text += &format!("{line}\r\n");
    }
    for name in ["From", "Call-ID", "CSeq"] {
        text += &format!("{name}: {}\r\n", header(request, name));
    }
    text += &format!("To: {};tag={tag}\r\n", header(request, "To"));
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!(
        "{extra}Content-Length: {}\r\n\r\n{body}",
        body.replace("\r\n", "\n").replace('\n', "\r\n").len()
    )
}

pub(crate) const PBX_ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";

pub(crate) const INVITE: &str =
    include_str!("../../../sim/samples/uic-sdes-01b-invite-on-wire.sip");

pub(crate) const ANSWER: &str = include_str!("../../../sim/samples/sip-bic-sdes-answer.sdp");

/// The published answer, with the payload types we offer.
pub(crate) fn carrier_answer() -> String {
    let types = ANSWER.replace("RTP/SAVP 107 101", "RTP/SAVP 111 126");
    types.replace(":107 ", ":111 ").replace(":101 ", ":126 ")
}

pub(crate) fn carrier_flow() -> Flow {
    flow(2, Transport::Tls, "31.13.66.215:40000")
}

pub(crate) fn pbx_flow() -> Flow {
    flow(4, Transport::Udp, "10.0.0.20:5060")
}

/// A user's call up to the moment the PBX answered.
pub(crate) fn user_called(bench: &mut Bench) -> (String, String) {
    bench.receive(carrier_flow(), INVITE);
    bench.take("SIP/2.0 100");
    let (_, invite) = bench.take("INVITE sip:+12145551869@10.0.0.20");
    bench.receive(pbx_flow(), &response(&invite, "180 Ringing", "p", "", ""));
    let (_, ringing) = bench.take("SIP/2.0 180");
    assert!(!ringing.contains("v=0"), "no SDP before the answer");
    let contact = "Contact: <sip:agent@10.0.0.20:5060>\r\n";
    bench.receive(
        pbx_flow(),
        &response(&invite, "200 OK", "p", contact, PBX_ANSWER),
    );
    bench.take("ACK sip:agent@10.0.0.20:5060");
    let (_, ok) = bench.take("SIP/2.0 200");
    (invite, ok)
}

pub(crate) fn carrier_request(method: &str, ok: &str, cseq: u32) -> String {
    format!(
        "{method} sip:+12145551869@meta-voip.example.com:5061;transport=tls SIP/2.0\r\n\
         Via: SIP/2.0/TLS 31.13.66.215:5061;rport;branch=z9hG4bKPj{method}{cseq};alias\r\n\
         Max-Forwards: 69\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         x-wa-meta-call-duration: 56\r\nContent-Length:  0\r\n\r\n",
        header(ok, "From"),
        header(ok, "To"),
        header(ok, "Call-ID"),
    )
}
