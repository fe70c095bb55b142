//! tshark on the loopback interface: what really crossed the wire, read by somebody else's dissectors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::place::Place;
use crate::running::Running;
use crate::tone::{Audio, from_alaw, from_ulaw};
use crate::tools::find;

/// A capture that runs, or has run.
pub struct Capture {
    running: Option<Running>,
    file: PathBuf,
    sip_ports: Vec<u16>,
}

/// One RTP stream of a capture, as tshark counts it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Sender, `address:port`.
    pub from: String,
    /// Receiver, `address:port`.
    pub to: String,
    /// SSRC, as tshark prints it (`0x…`).
    pub ssrc: String,
    /// Packets seen.
    pub packets: u64,
    /// Packets missing by sequence number.
    pub lost: i64,
    /// Longest time between two packets, milliseconds.
    pub longest_ms: f64,
}

impl Capture {
    /// Starts capturing what `filter` (BPF) selects; SIP is looked for on `sip_ports` beside 5060.
    ///
    /// # Panics
    /// When tshark does not start.
    pub fn start(place: &Place, name: &str, filter: &str, sip_ports: &[u16]) -> Capture {
        let file = place.path(&format!("{name}.pcap"));
        // dumpcap writes what it has seen at once only when told so; the kernel buffer is made large for load.
        let mut running = Running::start(
            place,
            name,
            Command::new(find("tshark").expect("the test asked for tshark"))
                .args([
                    "-i", "lo", "-B", "32", "-q", "-F", "pcap", "-f", filter, "-w",
                ])
                .arg(&file),
        );
        running.wait_for("Capture started", Duration::from_secs(20));
        Capture {
            running: Some(running),
            file,
            sip_ports: sip_ports.to_vec(),
        }
    }

    /// A capture somebody else made.
    pub fn of(file: PathBuf, sip_ports: &[u16]) -> Capture {
        Capture {
            running: None,
            file,
            sip_ports: sip_ports.to_vec(),
        }
    }

    /// Ends the capture; everything that was seen can then be read.
    pub fn stop(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        // What was sent just now is still on its way through the capture.
        std::thread::sleep(Duration::from_millis(700));
        running.signal("INT");
        running.finish(Duration::from_secs(20));
    }

    /// Lines of `fields`, tab-separated, for every packet that `filter` (tshark's display filter) selects.
    ///
    /// # Panics
    /// When tshark does not understand the question.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut command = self.read();
        command.args(["-Y", filter, "-T", "fields", "-E", "occurrence=f"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.output().expect("tshark reads its own file");
        assert!(
            output.status.success(),
            "tshark: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// Everything tshark calls malformed in SIP, SDP, RTP or RTCP, one line each with the frame and the complaint.
    pub fn malformed(&self) -> Vec<String> {
        // What tshark takes a media packet for because its port is somebody's is no matter of ours.
        let filter =
            "(sip || sdp || rtp || rtcp) && (_ws.malformed || _ws.expert.severity >= 0x800000)";
        self.fields(
            filter,
            &[
                "frame.number",
                "_ws.col.Protocol",
                "ip.src",
                "ip.dst",
                "_ws.expert.message",
            ],
        )
        .into_iter()
        .map(|fields| fields.join(" "))
        .collect()
    }

    /// How many packets `filter` selects.
    pub fn count(&self, filter: &str) -> usize {
        self.fields(filter, &["frame.number"]).len()
    }

    /// The RTP streams, in the order of their first packets.
    ///
    /// # Panics
    /// When tshark prints its table in another shape than known.
    pub fn streams(&self) -> Vec<Stream> {
        let output = self
            .read()
            .args(["-q", "-z", "rtp,streams"])
            .output()
            .expect("tshark reads its own file");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| {
                let at = line.find("0x")?;
                let left: Vec<&str> = line[..at].split_whitespace().collect();
                let right: Vec<&str> = line[at..].split_whitespace().collect();
                let [_, _, source, source_port, target, target_port] = left[..] else {
                    return None;
                };
                // ssrc payload... packets lost (percent%) min mean max …; the payload's name may hold blanks.
                let lost = right.iter().position(|word| word.starts_with('('))?;
                Some(Stream {
                    from: format!("{source}:{source_port}"),
                    to: format!("{target}:{target_port}"),
                    ssrc: right[0].to_owned(),
                    packets: right[lost - 2].parse().ok()?,
                    lost: right[lost - 1].parse().ok()?,
                    longest_ms: right[lost + 3].parse().ok()?,
                })
            })
            .collect()
    }

    /// The G.711 audio that arrived at `address:port`, laid out by RTP timestamp: what was lost is silence.
    pub fn g711_at(&self, address: &str, port: u16) -> Audio {
        let filter = format!(
            "rtp && ip.dst == {address} && udp.dstport == {port} && (rtp.p_type == 8 || rtp.p_type == 0)"
        );
        let mut frames: BTreeMap<u32, Vec<i16>> = BTreeMap::new();
        let mut base = None;
        for row in self.fields(&filter, &["rtp.timestamp", "rtp.p_type", "rtp.payload"]) {
            let [timestamp, kind, payload] = &row[..] else {
                continue;
            };
            let Ok(timestamp) = timestamp.parse::<u32>() else {
                continue;
            };
            let octets = from_hex(payload);
            let samples = if kind == "8" {
                from_alaw(&octets)
            } else {
                from_ulaw(&octets)
            };
            let base = *base.get_or_insert(timestamp);
            frames.insert(timestamp.wrapping_sub(base), samples);
        }
        let mut audio = Audio {
            rate: 8000,
            samples: Vec::new(),
        };
        for (at, samples) in frames {
            let at = at as usize;
            // An hour is more than any test lasts: a timestamp beyond it is a fault of the sender, heard as an end.
            if at > 8000 * 3600 {
                break;
            }
            if audio.samples.len() < at + samples.len() {
                audio.samples.resize(at + samples.len(), 0);
            }
            audio.samples[at..at + samples.len()].copy_from_slice(&samples);
        }
        audio
    }

    fn read(&self) -> Command {
        let mut command = Command::new(find("tshark").expect("the test asked for tshark"));
        command
            .arg("-r")
            .arg(&self.file)
            .args(["--enable-heuristic", "rtp_udp"]);
        for port in &self.sip_ports {
            command.args([
                "-d",
                &format!("udp.port=={port},sip"),
                "-d",
                &format!("tcp.port=={port},sip"),
            ]);
        }
        command
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
