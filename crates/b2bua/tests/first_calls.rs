//! The shortest whole calls through [`b2bua::Core`], message by message, from published samples.

#[path = "first_calls/memory.rs"]
mod memory;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use b2bua::cause::{Refusal, RefusalRule};
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
use sip::resolve::{Located, Server};
use sip::{Flow, FlowId, Secret, Target, TimerSettings, Transport};

const CARRIER: PeerProfile = PeerProfile {
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
    metadata: Some(MetadataNames {
        prefix: "x-wa-meta-",
        reference: "x-wa-meta-wacid",
        reference_call_id_prefix: "outgoing:",
        duration: "x-wa-meta-call-duration",
    }),
};

fn settings() -> Settings {
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
struct Bench {
    core: Core,
    now: Instant,
    sent: Vec<(FlowId, String)>,
    media: Vec<MediaCommand>,
    records: Vec<Record>,
    connects: Vec<(FlowId, Target)>,
    looked_for: Vec<Target>,
    wait: Option<Instant>,
}

impl Bench {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
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

    fn handle(&mut self, input: Input) {
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
    fn looked_for_of(&mut self, host: &str) -> Option<Target> {
        let at = self.looked_for.iter().rposition(|it| it.host == host)?;
        Some(self.looked_for.remove(at))
    }

    fn receive(&mut self, flow: Flow, text: &str) {
        let message = sip::parse(Bytes::from(
            text.replace("\r\n", "\n").replace('\n', "\r\n"),
        ))
        .expect("a good message");
        self.handle(Input::Sip { flow, message });
    }

    /// Lets time pass, waking the core whenever it asks.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.wait.filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = until;
    }

    /// Takes the one message sent since the last time whose start line begins so.
    fn take(&mut self, start: &str) -> (FlowId, String) {
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

fn local(address: &str, port: u16) -> LocalMedia {
    LocalMedia {
        address: address.parse().unwrap(),
        rtp_port: port,
        rtcp_port: port + 1,
    }
}

fn flow(id: u64, transport: Transport, remote: &str) -> Flow {
    let local: SocketAddr = "203.0.113.20:5061".parse().unwrap();
    Flow {
        id: FlowId(id),
        transport,
        local,
        remote: remote.parse().unwrap(),
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        .unwrap_or_else(|| panic!("no {name} in\n{message}"))
}

/// A response to `request` with `body`, as a plain PBX or carrier would write it.
fn response(request: &str, status: &str, tag: &str, extra: &str, body: &str) -> String {
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

const PBX_ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";
const INVITE: &str = include_str!("../../sim/samples/uic-sdes-01b-invite-on-wire.sip");
const ANSWER: &str = include_str!("../../sim/samples/sip-bic-sdes-answer.sdp");

/// The published answer, with the payload types we offer.
fn carrier_answer() -> String {
    let types = ANSWER.replace("RTP/SAVP 107 101", "RTP/SAVP 111 126");
    types.replace(":107 ", ":111 ").replace(":101 ", ":126 ")
}

fn carrier_flow() -> Flow {
    flow(2, Transport::Tls, "31.13.66.215:40000")
}

fn pbx_flow() -> Flow {
    flow(4, Transport::Udp, "10.0.0.20:5060")
}

/// A user's call up to the moment the PBX answered.
fn user_called(bench: &mut Bench) -> (String, String) {
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

fn carrier_request(method: &str, ok: &str, cseq: u32) -> String {
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

#[test]
fn a_user_calls_the_desk_phone_answers_the_user_hangs_up() {
    let mut bench = Bench::new();
    let (invite, ok) = user_called(&mut bench);
    assert_eq!(
        header(&invite, "X-WA-Call-Id"),
        header(INVITE, "x-wa-meta-wacid")
    );
    assert_eq!(header(&invite, "x-wa-meta-country-code"), "US");
    let routes = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|l| l.starts_with("Record-Route"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(routes(&ok), routes(INVITE));
    assert!(ok.contains("m=audio 20000 RTP/SAVP 111 126"));
    assert!(ok.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80"));
    let [
        MediaCommand::Open { .. },
        MediaCommand::Start { plans },
        MediaCommand::OpenGate(_),
    ] = &bench.media[..]
    else {
        panic!("{:?}", bench.media);
    };
    // For the user's app the first packet is the answer, so none leaves before the 200 has.
    assert_eq!(plans[0].gate, sdp::plan::Gate::Shut);

    bench.receive(carrier_flow(), &carrier_request("ACK", &ok, 9989));
    bench.pass(Duration::from_secs(56));
    assert!(
        bench.sent.is_empty(),
        "nothing is repeated after the ACK: {:?}",
        bench.sent
    );
    // The BYE comes on another connection.
    bench.receive(
        flow(6, Transport::Tls, "31.13.66.99:1234"),
        &carrier_request("BYE", &ok, 9991),
    );
    bench.take("SIP/2.0 200");
    let (_, bye) = bench.take("BYE sip:agent@10.0.0.20:5060");
    bench.receive(
        pbx_flow(),
        &response(&bye, "200 OK", "p", "", "").replacen(";tag=p", "", 1),
    );
    let record = bench.records.pop().expect("a record");
    assert_eq!(record.cause.label(), "normal");
    assert_eq!(record.duration, Duration::from_secs(56));
    assert_eq!(record.carrier_duration, Some(56));
    assert_eq!(
        record.reference.as_deref(),
        Some(header(INVITE, "x-wa-meta-wacid"))
    );
    assert_eq!(bench.core.calls(), 0);
    bench.pass(Duration::from_secs(64));
    assert!(bench.core.is_idle());
}

#[test]
fn a_200_that_is_never_acknowledged_ends_the_call_after_32_seconds() {
    let mut bench = Bench::new();
    user_called(&mut bench);
    bench.pass(Duration::from_secs(31));
    let repeats = bench
        .sent
        .iter()
        .filter(|(_, text)| text.starts_with("SIP/2.0 200"))
        .count();
    assert_eq!(repeats, 9, "at 0.5, 1.5, 3.5, 7.5 and then every 4 s");
    assert!(bench.records.is_empty());
    bench.pass(Duration::from_secs(2));
    let (_, bye) = bench.take("BYE sip:+12195550714@wa.meta.vc;transport=tls;ob SIP/2.0");
    let route: Vec<_> = bye
        .lines()
        .filter(|line| line.starts_with("Route:"))
        .collect();
    assert_eq!(
        route,
        [
            "Route: <sip:wa.meta.vc;transport=tls;lr>",
            "Route: <sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>",
        ]
    );
    bench.pass(Duration::from_secs(80));
    assert_eq!(bench.records.pop().unwrap().cause.label(), "no_ack");
    assert!(bench.core.is_idle());
}

#[test]
fn nobody_answers_for_25_seconds() {
    let mut bench = Bench::new();
    bench.receive(carrier_flow(), INVITE);
    let (_, invite) = bench.take("INVITE sip:+12145551869@10.0.0.20");
    bench.receive(pbx_flow(), &response(&invite, "180 Ringing", "p", "", ""));
    bench.pass(Duration::from_millis(24_900));
    assert!(
        !bench
            .sent
            .iter()
            .any(|(_, text)| text.starts_with("CANCEL"))
    );
    bench.pass(Duration::from_millis(200));
    bench.take("CANCEL sip:+12145551869@10.0.0.20");
    bench.take("SIP/2.0 480");
    bench.receive(
        pbx_flow(),
        &response(&invite, "487 Request Terminated", "p", "", ""),
    );
    assert_eq!(bench.records.pop().unwrap().cause.label(), "no_answer");
}

/// Two PBXs behind one trunk, pinged every 30 s if `ping`.
fn two_destinations(ping: bool) -> Bench {
    let mut settings = settings();
    let trunk = Arc::make_mut(&mut settings.trunks[0]);
    trunk.backups = vec![Target {
        host: "10.0.0.21".into(),
        ..trunk.target.clone()
    }];
    trunk.ping = ping.then_some(Duration::from_secs(30));
    Bench::with(settings)
}

fn invites(bench: &Bench) -> usize {
    bench
        .sent
        .iter()
        .filter(|(_, text)| text.starts_with("INVITE"))
        .count()
}

#[test]
fn a_pbx_in_trouble_hands_the_call_to_its_backup() {
    let mut bench = two_destinations(false);
    bench.receive(carrier_flow(), INVITE);
    let (first, invite) = bench.take("INVITE");
    bench.receive(
        pbx_flow(),
        &response(&invite, "503 Service Unavailable", "p", "", ""),
    );
    bench.take("ACK");
    let (second, invite) = bench.take("INVITE");
    assert_ne!(first, second);
    let contact = "Contact: <sip:agent@10.0.0.21:5060>\r\n";
    bench.receive(
        pbx_flow(),
        &response(&invite, "200 OK", "q", contact, PBX_ANSWER),
    );
    bench.take("ACK sip:agent@10.0.0.21:5060");
    bench.take("SIP/2.0 200");
}

#[test]
fn a_busy_extension_is_busy_on_every_pbx() {
    let mut bench = two_destinations(false);
    bench.receive(carrier_flow(), INVITE);
    let (_, invite) = bench.take("INVITE");
    bench.receive(pbx_flow(), &response(&invite, "486 Busy Here", "p", "", ""));
    bench.take("SIP/2.0 486");
    assert_eq!(invites(&bench), 0);
}

#[test]
fn a_pbx_that_says_nothing_is_left_for_its_backup_and_hung_up_should_it_wake() {
    let mut bench = two_destinations(false);
    bench.receive(carrier_flow(), INVITE);
    let (first, late) = bench.take("INVITE");
    bench.sent.clear();
    bench.pass(Duration::from_millis(3_900));
    assert!(
        bench.sent.iter().all(|(flow, _)| *flow == first),
        "only repeats to the first"
    );
    bench.pass(Duration::from_millis(200));
    bench.sent.retain(|(flow, _)| *flow != first);
    let (_, invite) = bench.take("INVITE");
    bench.receive(pbx_flow(), &response(&invite, "180 Ringing", "q", "", ""));
    // The first wakes up and answers: acknowledged and hung up, the second goes on ringing.
    let contact = "Contact: <sip:late@10.0.0.20:5060>\r\n";
    bench.receive(
        pbx_flow(),
        &response(&late, "200 OK", "p", contact, PBX_ANSWER),
    );
    bench.take("ACK sip:late@10.0.0.20:5060");
    let (_, bye) = bench.take("BYE sip:late@10.0.0.20:5060");
    bench.receive(
        pbx_flow(),
        &response(&bye, "200 OK", "p", "", "").replacen(";tag=p", "", 1),
    );
    let contact = "Contact: <sip:agent@10.0.0.21:5060>\r\n";
    bench.receive(
        pbx_flow(),
        &response(&invite, "200 OK", "q", contact, PBX_ANSWER),
    );
    bench.take("SIP/2.0 200");
    // The next call goes to the living one at once.
    let again = INVITE
        .replace("outgoing:wacid", "outgoing:wacid2")
        .replace("+12195550714@", "+12195550715@");
    bench.receive(
        carrier_flow(),
        &again.replace("branch=z9hG4bKPj1e", "branch=z9hG4bKPj2e"),
    );
    let (flow, _) = bench.take("INVITE sip:+12145551869@10.0.0.20");
    assert_ne!(flow, first);
}

#[test]
fn a_pbx_that_answers_no_options_is_tried_last_until_it_does() {
    let mut bench = two_destinations(true);
    bench.pass(Duration::from_millis(1));
    bench.handle(Input::Tick);
    let (first, _) = bench.take("OPTIONS sip:10.0.0.20:5060;transport=udp");
    let answer_second = |bench: &mut Bench| {
        while let Some(i) = bench
            .sent
            .iter()
            .position(|(_, t)| t.starts_with("OPTIONS sip:10.0.0.21"))
        {
            let (_, options) = bench.sent.remove(i);
            bench.receive(pbx_flow(), &response(&options, "200 OK", "o", "", ""));
        }
    };
    for _ in 0..80 {
        answer_second(&mut bench);
        bench.pass(Duration::from_secs(1));
    }
    bench.sent.clear();
    bench.receive(carrier_flow(), INVITE);
    let (flow, _) = bench.take("INVITE");
    assert_ne!(flow, first, "two pings went unanswered");
}

const TROUBLE: &[RefusalRule] = &[RefusalRule {
    status: 503,
    text: None,
    meaning: Refusal {
        label: "carrier_trouble",
        sip: 503,
        q850: 41,
        hint: "",
        alarm: true,
        again: Some((Duration::from_secs(2), Duration::from_secs(5))),
    },
}];

/// A business call the carrier refuses with 503 and these headers; how many INVITEs it got in 6 s.
fn refused_with(headers: &str) -> (usize, Bench) {
    let mut settings = settings();
    let profile = PeerProfile {
        refusals: TROUBLE,
        ..CARRIER
    };
    settings.carrier.profile = Arc::new(profile);
    let mut bench = Bench::with(settings);
    bench.receive(
        pbx_flow(),
        "INVITE sip:+12195550714@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp1\r\n\
         From: <sip:+12145551869@10.0.0.20>;tag=pf\r\nTo: <sip:+12195550714@10.0.0.5>\r\n\
         Call-ID: pbx-1\r\nCSeq: 1 INVITE\r\nContact: <sip:agent@10.0.0.20:5060>\r\nContent-Length: 0\r\n\r\n",
    );
    let mut invites = 0;
    for _ in 0..60 {
        while let Some(i) = bench
            .sent
            .iter()
            .position(|(_, text)| text.starts_with("INVITE"))
        {
            let (id, invite) = bench.sent.remove(i);
            invites += 1;
            let meta = flow(id.0, Transport::Tls, "157.240.19.130:5061");
            bench.receive(
                meta,
                &response(&invite, "503 Service Unavailable", "m", headers, ""),
            );
        }
        bench.pass(Duration::from_millis(100));
    }
    (invites, bench)
}

#[test]
fn trouble_of_the_carrier_that_passes_is_tried_once_more() {
    let (invites, mut bench) = refused_with("");
    assert_eq!(invites, 2);
    bench.take("SIP/2.0 503");
    assert_eq!(bench.records.len(), 1);
    let (invites, mut bench) = refused_with("Retry-After: 120 (maintenance)\r\n");
    assert_eq!(
        invites, 1,
        "who is to come back in two minutes does not wait on the line"
    );
    bench.take("SIP/2.0 503");
}

#[test]
fn a_pbx_that_leaves_the_offer_to_us_is_heard_from_its_ack_on() {
    let mut bench = Bench::new();
    bench.receive(
        pbx_flow(),
        "INVITE sip:+12195550714@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp1\r\n\
         From: <sip:+12145551869@10.0.0.20>;tag=pf\r\nTo: <sip:+12195550714@10.0.0.5>\r\n\
         Call-ID: pbx-1\r\nCSeq: 1 INVITE\r\nContact: <sip:agent@10.0.0.20:5060>\r\nContent-Length: 0\r\n\r\n",
    );
    let (first, invite) = bench.take("INVITE sip:+12195550714@wa.meta.vc");
    let contact = "Contact: <sip:+12195550714@wa.meta.vc;transport=tls;ob>;isfocus\r\n";
    let meta = flow(first.0, Transport::Tls, "157.240.19.130:5061");
    bench.receive(
        meta,
        &response(&invite, "200 OK", "m", contact, &carrier_answer()),
    );
    let (_, ok) = bench.take("SIP/2.0 200");
    assert!(ok.contains("RTP/AVP 8 101"), "our offer is in the 200");
    assert!(
        !bench
            .media
            .iter()
            .any(|command| matches!(command, MediaCommand::Start { .. }))
    );
    bench.receive(
        pbx_flow(),
        &format!(
            "ACK sip:+12195550714@10.0.0.5:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKpa\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: pbx-1\r\nCSeq: 1 ACK\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{PBX_ANSWER}",
            header(&ok, "From"),
            header(&ok, "To"),
            PBX_ANSWER.len(),
        ),
    );
    assert!(
        bench
            .media
            .iter()
            .any(|command| matches!(command, MediaCommand::Start { .. }))
    );
}

#[test]
fn the_business_calls_a_user_through_a_challenge() {
    let mut bench = Bench::new();
    let offer = PBX_ANSWER;
    let from_pbx = format!(
        "INVITE sip:+12195550714@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+12145551869@10.0.0.20>;tag=pf\r\nTo: <sip:+12195550714@10.0.0.5>\r\n\
         Call-ID: pbx-1\r\nCSeq: 1 INVITE\r\nContact: <sip:agent@10.0.0.20:5060>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
        offer.len()
    );
    bench.receive(pbx_flow(), &from_pbx);
    let (first, invite) = bench.take("INVITE sip:+12195550714@wa.meta.vc;transport=tls SIP/2.0");
    assert!(header(&invite, "From").starts_with("<sip:+12145551869@meta-voip.example.com>;tag="));
    assert_eq!(header(&invite, "To"), "<sip:+12195550714@wa.meta.vc>");
    let meta = |id| flow(id, Transport::Tls, "157.240.19.130:5061");
    let challenges = "Proxy-Authenticate: Digest realm=\"wa.meta.vc\",nonce=\"a\",opaque=\"b\",algorithm=SHA-256,qop=\"auth\"\r\n\
        Proxy-Authenticate: Digest realm=\"wa.meta.vc\",nonce=\"c\",opaque=\"d\",algorithm=MD5,qop=\"auth\"\r\n";
    let challenge = response(
        &invite,
        "407 Proxy Authentication Required",
        "t",
        challenges,
        "",
    );
    bench.receive(meta(first.0), &challenge);
    bench.take("ACK sip:+12195550714@wa.meta.vc;transport=tls");
    let (again, invite) = bench.take("INVITE sip:+12195550714@wa.meta.vc;transport=tls");
    assert_eq!(again, first, "the retry stays on the connection");
    let credentials = header(&invite, "Proxy-Authorization");
    assert!(credentials.contains("algorithm=SHA-256") && credentials.contains("nonce=\"a\""));
    assert!(credentials.contains("username=\"12145551869\""));
    assert!(credentials.contains("uri=\"sip:+12195550714@wa.meta.vc;transport=tls\""));
    bench.receive(
        meta(first.0),
        &response(&invite, "180 Ringing", "m", "", ""),
    );
    bench.take("SIP/2.0 180");
    let extra = "Record-Route: <sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>\r\n\
        Record-Route: <sip:wa.meta.vc;transport=tls;lr>\r\n\
        Contact: <sip:+12195550714@wa.meta.vc;transport=tls;ob;X-FB-Sip-Smc-Tier=a.b>;isfocus\r\n";
    bench.receive(
        meta(first.0),
        &response(&invite, "200 OK", "m", extra, &carrier_answer()),
    );
    let (_, ack) = bench
        .take("ACK sip:+12195550714@wa.meta.vc;transport=tls;ob;X-FB-Sip-Smc-Tier=a.b SIP/2.0");
    assert!(ack.find("Route: <sip:wa.meta.vc").unwrap() < ack.find("Route: <sip:onevc").unwrap());
    let (_, ok) = bench.take("SIP/2.0 200");
    assert!(ok.contains("RTP/AVP 8 101"));
    let in_dialog = |method: &str, cseq| {
        format!(
            "{method} sip:+12195550714@10.0.0.5:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp{method}\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: pbx-1\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            header(&ok, "From"),
            header(&ok, "To"),
        )
    };
    bench.receive(pbx_flow(), &in_dialog("ACK", 1));
    bench.pass(Duration::from_secs(13));
    bench.receive(pbx_flow(), &in_dialog("BYE", 2));
    bench.take("SIP/2.0 200");
    let (_, bye) =
        bench.take("BYE sip:+12195550714@wa.meta.vc;transport=tls;ob;X-FB-Sip-Smc-Tier=a.b");
    assert_eq!(
        header(&bye, "Reason"),
        "Q.850;cause=16;text=\"NORMAL_CLEARING\""
    );
    bench.receive(
        meta(first.0),
        &response(&bye, "200 OK", "m", "", "").replacen(";tag=m", "", 1),
    );
    let record = bench.records.pop().expect("a record");
    assert_eq!((record.cause.label(), record.pulses), ("normal", Some(3)));
}

/// A trunk whose peer is a name, of which two servers of different rank are known.
fn by_name() -> Bench {
    let mut settings = settings();
    let trunk = Arc::make_mut(&mut settings.trunks[0]);
    trunk.target.host = "pbx.example.com".into();
    trunk.target.port = 0;
    let mut bench = Bench::with(settings);
    bench.handle(Input::Tick);
    let target = bench
        .looked_for_of("pbx.example.com")
        .expect("the name is looked for");
    assert_eq!((target.host.as_str(), target.port), ("pbx.example.com", 0));
    let server = |address: &str| Server {
        transport: Transport::Udp,
        weight: 0,
        port: 5070,
        addresses: vec![address.parse().unwrap()],
    };
    let found = Located {
        ranks: vec![vec![server("10.0.0.31")], vec![server("10.0.0.32")]],
        ttl: Duration::from_secs(60),
    };
    bench.handle(Input::Located { target, found });
    bench
}

#[test]
fn a_pbx_in_trouble_is_called_at_the_next_address_of_its_name() {
    let at = |bench: &Bench, flow: FlowId| {
        let found = bench.connects.iter().find(|(id, _)| *id == flow);
        let target = found.map(|(_, target)| target).expect("asked for");
        assert_eq!(
            target.host, "pbx.example.com",
            "the name stays: TLS verifies it"
        );
        target.at.expect("a known address").to_string()
    };
    let mut bench = by_name();
    bench.receive(carrier_flow(), INVITE);
    let (first, invite) = bench.take("INVITE");
    assert_eq!(at(&bench, first), "10.0.0.31:5070");
    let refusal = response(&invite, "503 Service Unavailable", "p", "", "");
    bench.receive(pbx_flow(), &refusal);
    let (second, _) = bench.take("INVITE");
    assert_eq!(at(&bench, second), "10.0.0.32:5070");

    // One that says nothing is given up after 4 s, and stands last for the next call.
    let mut bench = by_name();
    bench.receive(carrier_flow(), INVITE);
    let (silent, _) = bench.take("INVITE");
    bench.pass(Duration::from_secs(5));
    bench.sent.retain(|(flow, _)| *flow != silent);
    let (second, _) = bench.take("INVITE");
    assert_eq!(at(&bench, second), "10.0.0.32:5070");
}

#[test]
fn a_name_is_looked_for_again_when_its_time_to_live_is_over() {
    let mut bench = by_name();
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.looked_for_of("pbx.example.com"), None);
    bench.pass(Duration::from_secs(2));
    let target = bench
        .looked_for_of("pbx.example.com")
        .expect("looked for again");
    // The DNS is broken: the last good answer holds.
    let found = Located::default();
    bench.handle(Input::Located { target, found });
    bench.receive(carrier_flow(), INVITE);
    let (flow, _) = bench.take("INVITE");
    let target = bench.connects.iter().find(|(id, _)| *id == flow);
    assert!(target.is_some_and(|(_, target)| target.at.is_some()));
}

#[test]
fn an_invite_too_large_for_a_datagram_goes_over_tcp_and_over_udp_where_nobody_listens() {
    let mut settings = settings();
    settings.product = "p".repeat(1300);
    let mut bench = Bench::with(settings);
    bench.receive(carrier_flow(), INVITE);
    let (over_tcp, invite) = bench.take("INVITE");
    assert!(
        header(&invite, "Via").starts_with("SIP/2.0/TCP "),
        "{invite}"
    );
    let target = &bench.connects.last().expect("asked for").1;
    assert_eq!((target.transport, target.port), (Transport::Tcp, 5060));
    let why = "connection refused".into();
    bench.handle(Input::FlowFailed { id: over_tcp, why });
    let (over_udp, invite) = bench.take("INVITE");
    assert_ne!(over_udp, over_tcp);
    assert!(
        header(&invite, "Via").starts_with("SIP/2.0/UDP "),
        "{invite}"
    );
}
