//! Calls through Debian's rtpengine in user space, driven by its ng protocol (bencoding over UDP). It runs as a
//! process of its own with a configuration of its own; nothing of it is linked here.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sdp::Codec;
use tests::place::Place;
use tests::processors::alone;
use tests::running::Running;

use crate::ends::{Described, End, Ends, KEYS, payload_type};
use crate::through_sbc::MEDIA_PORT;

/// A running rtpengine.
pub(crate) struct ThroughRtpengine {
    /// The program.
    pub(crate) running: Running,
    control: UdpSocket,
    place: [SocketAddr; 2],
    codecs: (Codec, Codec),
    placed: u32,
}

/// A value in bencoding.
enum Value<'a> {
    Text(&'a str),
    List(&'a [&'a str]),
    Map(&'a [(&'a str, Value<'a>)]),
}

impl Value<'_> {
    fn write(&self, out: &mut String) {
        let text = |text: &str, out: &mut String| out.push_str(&format!("{}:{text}", text.len()));
        match self {
            Value::Text(words) => text(words, out),
            Value::List(all) => {
                out.push('l');
                all.iter().for_each(|words| text(words, out));
                out.push('e');
            }
            Value::Map(pairs) => {
                out.push('d');
                for (key, value) in *pairs {
                    text(key, out);
                    value.write(out);
                }
                out.push('e');
            }
        }
    }
}

impl ThroughRtpengine {
    /// Starts it with one thread for media.
    ///
    /// # Errors
    /// When it is not there or does not answer.
    pub(crate) fn start(place: &Place, codecs: (Codec, Codec)) -> Result<ThroughRtpengine, String> {
        let control = SocketAddr::new(place.address(5), 22_222);
        let (public, private) = (place.address(3), place.address(4));
        let mut command = Command::new("rtpengine");
        command
            .args([
                "--config-file=none",
                "--table=-1",
                "--foreground",
                "--log-stderr",
            ])
            .args([
                "--log-level=3",
                "--num-threads=1",
                "--port-min=10000",
                "--port-max=59999",
            ])
            .arg(format!("--interface=meta/{public}"))
            .arg(format!("--interface=pbx/{private}"))
            .arg(format!("--listen-ng={control}"));
        let running = alone(|| Running::start(place, "rtpengine", &mut command));
        let socket = UdpSocket::bind((place.address(6), 0)).map_err(|error| error.to_string())?;
        socket.connect(control).map_err(|error| error.to_string())?;
        let _ = socket.set_read_timeout(Some(Duration::from_millis(500)));
        let mut this = ThroughRtpengine {
            running,
            control: socket,
            place: [21, 31].map(|host| SocketAddr::new(place.address(host), MEDIA_PORT)),
            codecs,
            placed: 0,
        };
        let began = Instant::now();
        while this.ask("0 d7:command4:pinge").is_none() {
            if !this.running.alive() || began.elapsed() > Duration::from_secs(10) {
                return Err(format!(
                    "rtpengine does not answer:\n{}",
                    this.running.tail()
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(this)
    }

    /// Sets up `count` calls.
    ///
    /// # Errors
    /// With what rtpengine said.
    pub(crate) fn place(&mut self, count: usize, mut up: impl FnMut(Ends)) -> Result<(), String> {
        for _ in 0..count {
            up(self.call()?);
        }
        Ok(())
    }

    fn call(&mut self) -> Result<Ends, String> {
        self.placed += 1;
        let id = format!("call-{}", self.placed);
        let key = base64::engine::general_purpose::STANDARD.encode(KEYS[0]);
        let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
        let offer = description(self.place[0], "RTP/SAVP", self.codecs.0, &crypto);
        let answer = description(self.place[1], "RTP/AVP", self.codecs.1, "");
        let transcoding = [
            ("mask", Value::List(&["opus"])),
            ("transcode", Value::List(&["PCMA"])),
        ];
        let mut about = vec![
            ("command", Value::Text("offer")),
            ("call-id", Value::Text(&id)),
            ("from-tag", Value::Text("meta")),
            ("ICE", Value::Text("remove")),
            ("DTLS", Value::Text("off")),
            ("rtcp-mux", Value::List(&["demux"])),
            ("direction", Value::List(&["meta", "pbx"])),
            ("transport-protocol", Value::Text("RTP/AVP")),
            ("sdp", Value::Text(&offer)),
        ];
        if self.codecs.0 != self.codecs.1 {
            about.push(("codec", Value::Map(&transcoding)));
        }
        let to_pbx = self.describe(&about)?;
        let to_meta = self.describe(&[
            ("command", Value::Text("answer")),
            ("call-id", Value::Text(&id)),
            ("from-tag", Value::Text("meta")),
            ("to-tag", Value::Text("pbx")),
            ("ICE", Value::Text("remove")),
            ("DTLS", Value::Text("off")),
            ("sdp", Value::Text(&answer)),
        ])?;
        Ok(Ends {
            meta: End {
                remote: to_meta.rtp,
                pt: payload_type(self.codecs.0),
                seals: Some(KEYS[0]),
                opens: to_meta.key,
                hears: None,
            },
            pbx: End {
                remote: to_pbx.rtp,
                pt: payload_type(self.codecs.1),
                seals: None,
                opens: None,
                hears: None,
            },
        })
    }

    /// Asks, and reads the description in the answer.
    fn describe(&mut self, about: &[(&str, Value<'_>)]) -> Result<Described, String> {
        let mut text = String::new();
        Value::Map(about).write(&mut text);
        let request = format!("{}-{} {text}", self.placed, about.len());
        let answer = self.ask(&request).ok_or("rtpengine does not answer")?;
        let found = answer
            .split_once("3:sdp")
            .and_then(|(_, rest)| rest.split_once(':'))
            .and_then(|(length, rest)| rest.get(..length.parse().ok()?))
            .and_then(Described::read);
        found.ok_or(format!("rtpengine said {answer}"))
    }

    fn ask(&self, request: &str) -> Option<String> {
        let mut buffer = [0; 65_536];
        self.control.send(request.as_bytes()).ok()?;
        let length = self.control.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}

fn description(at: SocketAddr, profile: &str, codec: Codec, crypto: &str) -> String {
    let pt = payload_type(codec);
    let map = match codec {
        Codec::Opus => {
            "opus/48000/2\r\na=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;useinbandfec=1"
        }
        _ => "PCMA/8000",
    };
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} {pt}\r\n\
         a=rtpmap:{pt} {map}\r\na=ptime:20\r\n{crypto}"
    )
}
