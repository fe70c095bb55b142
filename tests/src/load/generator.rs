//! Meta and the PBX of the load, in one thread that never waits for either.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::tls::Connection;
use super::words;
use crate::certificates::Authority;
use crate::place::Place;
use crate::sbc::{HOST, NUMBER, Sbc};
use crate::simulated::{meta_address, pbx_address};

/// Connections Meta keeps open.
const CONNECTIONS: u32 = 4;
/// What no phase takes longer than.
const LIMIT: Duration = Duration::from_secs(120);

/// How calls begin.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many at once: the next when one is done (or, while they are held, established).
    AtOnce(u32),
    /// So many a second, whatever becomes of them.
    EachSecond(u32),
}

/// What came of a phase.
pub struct Load {
    /// Calls that are over.
    pub done: u32,
    /// From the first INVITE to the end of the last call.
    pub took: Duration,
    latencies: Vec<Duration>,
}

impl Load {
    /// What so much of all calls did not exceed.
    pub fn latency(&self, share: f64) -> Duration {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies
            .get(at)
            .or(self.latencies.last())
            .copied()
            .unwrap_or_default()
    }
}

/// One call: where it is, and what it needs to go on.
struct Call {
    number: String,
    sent: Option<Instant>,
    /// Contact and To of the 200.
    dialog: Option<(String, String)>,
    /// The final status; 0 until it comes.
    status: u16,
    is_over: bool,
}

/// Both sides of every call.
pub struct Generator {
    meta: Vec<Connection>,
    pbx: UdpSocket,
    own: SocketAddr,
    sbc: SocketAddr,
    media: [SocketAddr; 2],
    // Bound, so that what is sent there is no error to anybody.
    sockets: [UdpSocket; 2],
    rtp: Vec<SocketAddr>,
    srtp: Vec<SocketAddr>,
    /// Whether a refusal is an answer like any other.
    asks: bool,
    calls: Vec<Call>,
    latencies: Vec<Duration>,
    /// Those that have a 200; those that are over.
    established: u32,
    over: u32,
    hangs_up: bool,
    datagram: Vec<u8>,
}

impl Generator {
    /// Opens Meta's connections to a running wa-sbc, and the PBX' port.
    ///
    /// # Panics
    /// When wa-sbc does not take them.
    pub fn new(place: &Place, authority: &Authority, sbc: &Sbc) -> Generator {
        let (meta, own) = (meta_address(place).ip(), pbx_address(place));
        let open = |_| Connection::open(meta, sbc.tls, &authority.certificate, HOST);
        let sockets = [meta, own.ip()].map(|ip| UdpSocket::bind((ip, 0)).expect("a loopback port"));
        let media = [0, 1].map(|i: usize| sockets[i].local_addr().expect("it is bound"));
        let pbx = UdpSocket::bind(own).expect("the PBX' address");
        pbx.set_nonblocking(true)
            .expect("a socket can be made non-blocking");
        Generator {
            meta: (0..CONNECTIONS).map(open).collect(),
            pbx,
            own,
            sbc: sbc.sip,
            media,
            sockets,
            rtp: Vec::new(),
            srtp: Vec::new(),
            asks: false,
            calls: Vec::new(),
            latencies: Vec::new(),
            established: 0,
            over: 0,
            hangs_up: true,
            datagram: vec![0; 65_536],
        }
    }

    /// So many calls, hung up as soon as they stand.
    ///
    /// # Panics
    /// When one of them does not go as it should, here and below.
    pub fn run(&mut self, count: u32, pace: Pace) -> Load {
        self.hangs_up = true;
        let began = Instant::now();
        self.begin(count, pace, |generator| generator.over);
        self.load(began)
    }

    /// So many calls, all of them held until `meanwhile` is over.
    pub fn hold(&mut self, count: u32, pace: Pace, meanwhile: impl FnOnce(&mut Generator)) -> Load {
        self.hangs_up = false;
        let began = Instant::now();
        let first = self.calls.len();
        self.begin(count, pace, |generator| generator.established);
        meanwhile(self);
        for call in first..self.calls.len() {
            self.bye(call as u32);
        }
        let standing = self.calls[first..]
            .iter()
            .filter(|call| call.dialog.is_some())
            .count() as u32;
        self.until(began, |generator| generator.over >= standing);
        self.load(began)
    }

    fn load(&mut self, began: Instant) -> Load {
        let mut latencies = std::mem::take(&mut self.latencies);
        latencies.sort();
        Load {
            done: std::mem::take(&mut self.over),
            took: began.elapsed(),
            latencies,
        }
    }

    fn begin(&mut self, count: u32, pace: Pace, finished: impl Fn(&Generator) -> u32) {
        let began = Instant::now();
        (self.established, self.over) = (0, 0);
        self.rtp.clear();
        self.srtp.clear();
        let first = self.calls.len() as u32;
        self.until(began, |generator| {
            let begun = generator.calls.len() as u32 - first;
            let due = match pace {
                Pace::AtOnce(window) => finished(generator) + window,
                Pace::EachSecond(rate) => {
                    (began.elapsed().as_secs_f64() * f64::from(rate)) as u32 + 1
                }
            };
            for _ in begun..due.min(count) {
                generator.invite(NUMBER);
            }
            finished(generator) >= count
        });
    }

    /// Carries messages until it is done.
    fn until(&mut self, began: Instant, mut is_done: impl FnMut(&mut Generator) -> bool) {
        while !is_done(self) {
            for connection in &mut self.meta {
                connection.flush();
            }
            if !self.carry() {
                std::thread::sleep(Duration::from_micros(50));
            }
            assert!(
                began.elapsed() < LIMIT,
                "{} of {} calls established, {} over",
                self.established,
                self.calls.len(),
                self.over
            );
        }
    }

    fn carry(&mut self) -> bool {
        let mut any = false;
        while let Ok(length @ 1..) = self.pbx.recv(&mut self.datagram) {
            any = true;
            let text = String::from_utf8_lossy(&self.datagram[..length]).into_owned();
            self.at_pbx(&text);
        }
        for at in 0..self.meta.len() {
            let mut heard = Vec::new();
            any |= self.meta[at].hear(|message| heard.push(message.to_owned()));
            for message in heard {
                self.at_meta(&message);
            }
        }
        any
    }

    fn say(&mut self, call: u32, text: &str) {
        let at = (call % CONNECTIONS) as usize;
        self.meta[at].say(text);
    }

    /// Carries messages for so long.
    pub fn carry_for(&mut self, time: Duration) {
        let began = Instant::now();
        self.until(began, |_| began.elapsed() >= time);
    }

    /// One call to this number; the final status of its INVITE with credentials, or of the first one if that is no challenge.
    /// A call that is answered is held until it is hung up with the others.
    pub fn ask(&mut self, number: &str) -> u16 {
        let call = self.calls.len();
        self.asks = true;
        self.invite(number);
        let began = Instant::now();
        self.until(began, |generator| generator.calls[call].status != 0);
        self.asks = false;
        self.calls[call].status
    }

    /// Where wa-sbc awaits the RTP of the PBX legs of this phase's calls.
    pub fn rtp(&self) -> &[SocketAddr] {
        &self.rtp
    }

    /// Where wa-sbc awaits the SRTP of their legs towards Meta.
    pub fn srtp(&self) -> &[SocketAddr] {
        &self.srtp
    }

    /// The sockets the media of Meta's and of the PBX' legs comes to, and is sent from.
    pub fn media(&self) -> &[UdpSocket; 2] {
        &self.sockets
    }

    fn invite(&mut self, number: &str) {
        let call = self.calls.len() as u32;
        self.calls.push(Call {
            number: number.to_owned(),
            sent: None,
            dialog: None,
            status: 0,
            is_over: false,
        });
        let text = words::invite(call, number, None, self.media[0]);
        self.say(call, &text);
    }

    fn bye(&mut self, call: u32) {
        if let Some((contact, to)) = &self.calls[call as usize].dialog {
            let text = words::plain(call, "BYE", contact, 3, to);
            self.say(call, &text);
        }
    }

    fn at_meta(&mut self, message: &str) {
        let (Some(call), Some((status, cseq, method))) =
            (words::call_of(message), words::response(message))
        else {
            panic!("Meta gets answers only, this is none:\n{message}");
        };
        let to = words::header(message, "To").unwrap_or_default();
        match (status, cseq, method) {
            (100..=199, ..) => {}
            (407, 1, "INVITE") => {
                let challenge = words::header(message, "Proxy-Authenticate").unwrap_or_default();
                let number = &self.calls[call as usize].number;
                let again = words::ack_refusal(call, number, 1, to)
                    + &words::invite(call, number, Some(challenge), self.media[0]);
                self.say(call, &again);
                self.calls[call as usize].sent = Some(Instant::now());
            }
            (200, 2, "INVITE") => {
                let contact = words::contact(message).unwrap_or_default();
                let ack = words::plain(call, "ACK", contact, 2, to);
                self.say(call, &ack);
                let first = self.calls[call as usize].dialog.is_none();
                if first {
                    self.srtp.extend(words::audio_of(message));
                    self.calls[call as usize].status = 200;
                    self.calls[call as usize].dialog = Some((contact.to_owned(), to.to_owned()));
                    self.established += 1;
                    if self.hangs_up {
                        self.bye(call);
                    }
                }
            }
            (200, 3, "BYE") => {
                let call = &mut self.calls[call as usize];
                self.over += u32::from(!call.is_over);
                call.is_over = true;
            }
            (300.., _, "INVITE") if self.asks => {
                let ack = words::ack_refusal(call, &self.calls[call as usize].number, cseq, to);
                self.say(call, &ack);
                self.calls[call as usize].status = status;
            }
            _ => panic!("an answer Meta does not expect:\n{message}"),
        }
    }

    fn at_pbx(&mut self, message: &str) {
        let tell = |text: String| {
            self.pbx
                .send_to(text.as_bytes(), self.sbc)
                .expect("loopback carries it");
        };
        match message.split(' ').next() {
            Some("INVITE") => {
                tell(words::answer(message, "180 Ringing", self.own, None));
                tell(words::answer(
                    message,
                    "200 OK",
                    self.own,
                    Some(self.media[1]),
                ));
                self.rtp.extend(words::audio_of(message));
                let caller =
                    words::caller_of(message).and_then(|call| self.calls.get_mut(call as usize));
                if let Some(sent) = caller.and_then(|call| call.sent.take()) {
                    self.latencies.push(sent.elapsed());
                }
            }
            Some("BYE" | "OPTIONS") => tell(words::answer(message, "200 OK", self.own, None)),
            _ => {}
        }
    }
}
