//! The bare forwarder: what has to be done for every packet and nothing else. Receive, open or seal, send.
//! It runs as a process of its own: `bench-media forward …`.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;

use media::Packet;
use media::srtp::{Protect, Unprotect};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use tests::place::Place;
use tests::processors::alone;
use tests::running::Running;

use crate::ends::{End, Ends, KEYS, crypto};
use crate::load::ssrc;
use crate::through_sbc::MEDIA_PORT;

/// The first port; each call takes two.
const FIRST: u16 = 10_000;
/// What stands in SSRCs of Meta's ends beside the number of the call; see [`crate::load`].
const CALL: u32 = 0x0fff_ffff;

/// A running forwarder.
pub(crate) struct ThroughForwarder {
    /// The program.
    pub(crate) running: Running,
    place: [IpAddr; 2],
    shared: bool,
    placed: u16,
}

impl ThroughForwarder {
    /// Starts it, with sockets for `most` calls. `shared`: one port towards Meta for all of them.
    pub(crate) fn start(place: &Place, shared: bool, most: u16) -> ThroughForwarder {
        let addresses = [7, 8].map(|host| place.address(host));
        let program = std::env::current_exe().expect("this program is a file");
        let mut command = Command::new(program);
        command
            .arg("forward")
            .arg(if shared { "shared" } else { "own" })
            .arg(most.to_string())
            .args(addresses.map(|address| address.to_string()))
            .args([21, 31].map(|host| format!("{}:{MEDIA_PORT}", place.address(host))));
        let mut running = alone(|| Running::start_listening(place, "forwarder", &mut command));
        running.wait_for("forwarding", std::time::Duration::from_secs(10));
        ThroughForwarder {
            running,
            place: addresses,
            shared,
            placed: 0,
        }
    }

    /// The next calls.
    pub(crate) fn place(&mut self, count: usize, mut up: impl FnMut(Ends)) {
        for _ in 0..count {
            let own = FIRST + 2 * self.placed;
            let to_meta = if self.shared { FIRST } else { own };
            // SSRCs pass.
            let hears = self.shared.then(|| ssrc(1, usize::from(self.placed)));
            self.placed += 1;
            up(Ends {
                meta: End {
                    remote: SocketAddr::new(self.place[0], to_meta),
                    pt: 111,
                    seals: Some(KEYS[0]),
                    opens: Some(KEYS[1]),
                    hears,
                },
                pbx: End {
                    remote: SocketAddr::new(self.place[1], own),
                    pt: 111,
                    seals: None,
                    opens: None,
                    hears: None,
                },
            });
        }
    }
}

/// The process itself: `own|shared COUNT META-SIDE PBX-SIDE META PBX`. Ends with its standard input.
pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [kind, count, public, private, meta, pbx] = arguments else {
        return Err("forward own|shared COUNT ADDRESS ADDRESS META PBX".into());
    };
    let (public, private): (IpAddr, IpAddr) = (public.parse()?, private.parse()?);
    let forwarder = Forwarder::open(kind == "shared", count.parse()?, public, private)?;
    let remotes = [meta.parse()?, pbx.parse()?];
    std::thread::Builder::new()
        .name("forward".into())
        .spawn(move || forwarder.run(remotes))?;
    println!("forwarding");
    io::stdout().flush()?;
    for line in io::stdin().lock().lines() {
        line?;
    }
    Ok(())
}

struct Forwarder {
    shared: bool,
    /// Towards Meta: one for each call, or one.
    meta: Vec<UdpSocket>,
    pbx: Vec<UdpSocket>,
    keys: Vec<(Unprotect, Protect)>,
}

impl Forwarder {
    fn open(shared: bool, count: u16, public: IpAddr, private: IpAddr) -> io::Result<Forwarder> {
        let bind = |address: IpAddr, call: u16| {
            let socket = UdpSocket::bind((address, FIRST + 2 * call))?;
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(if shared {
                8 << 20
            } else {
                256 << 10
            });
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let towards_meta = if shared { 1 } else { count };
        let all = |address, count| {
            (0..count)
                .map(|call| bind(address, call))
                .collect::<io::Result<_>>()
        };
        Ok(Forwarder {
            shared,
            meta: all(public, towards_meta)?,
            pbx: all(private, count)?,
            keys: (0..count)
                .map(|_| {
                    (
                        Unprotect::new(&crypto(KEYS[0])),
                        Protect::new(&crypto(KEYS[1])),
                    )
                })
                .collect(),
        })
    }

    fn run(mut self, [meta, pbx]: [SocketAddr; 2]) -> io::Result<()> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let offset = self.meta.len() as u64;
        for (token, socket) in (0..).zip(self.meta.iter().chain(&self.pbx)) {
            epoll::add(&poll, socket, EventData::new_u64(token), EventFlags::IN)?;
        }
        let mut packet = Packet::new();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(1_024);
        loop {
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in &events {
                let token = event.data.u64();
                if token < offset {
                    // A shared port is read until it is empty, one of a call holds one packet.
                    while self.relay_meta(token as usize, pbx, &mut packet) && self.shared {}
                } else {
                    self.relay_pbx((token - offset) as usize, meta, &mut packet);
                }
            }
        }
    }

    fn relay_meta(&mut self, at: usize, pbx: SocketAddr, packet: &mut Packet) -> bool {
        let Ok((length, _)) = self.meta[at].recv_from(packet.buffer_mut()) else {
            return false;
        };
        packet.set_len(length);
        let call = match packet.as_slice() {
            [_, _, _, _, _, _, _, _, a, b, c, d, ..] if self.shared => {
                (u32::from_be_bytes([*a, *b, *c, *d]) & CALL) as usize
            }
            _ => at,
        };
        if let Some((open, _)) = self.keys.get_mut(call)
            && open.rtp(packet).is_ok()
        {
            let _ = self.pbx[call].send_to(packet.as_slice(), pbx);
        }
        true
    }

    fn relay_pbx(&mut self, call: usize, meta: SocketAddr, packet: &mut Packet) {
        let Ok((length, _)) = self.pbx[call].recv_from(packet.buffer_mut()) else {
            return;
        };
        packet.set_len(length);
        if self.keys[call].1.rtp(packet).is_ok() {
            let towards_meta = if self.shared { 0 } else { call };
            let _ = self.meta[towards_meta].send_to(packet.as_slice(), meta);
        }
    }
}
