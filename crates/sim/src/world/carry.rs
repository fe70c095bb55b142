//! How bytes get from one party of the world to another: links, connections, boxes in the middle.

use std::net::SocketAddr;
use std::time::Duration;

use b2bua::{CallId, Input, MediaEvent};
use bytes::Bytes;
use sip::{Flow, FlowId};

use super::flows::Carrier;
use super::{Crossing, Party, Passed, World};
use crate::net::Link;
use crate::peer::{self, Peer};
use crate::report::{Report, What};

/// Something on its way.
#[derive(Debug)]
pub(super) enum Delivery {
    Sip {
        pipe: usize,
        to: Party,
        bytes: Bytes,
        entry: usize,
    },
    /// A party gets the flow it asked for by this name.
    Opened {
        pipe: usize,
        party: Party,
        id: FlowId,
    },
    Refused {
        party: Party,
        id: FlowId,
        why: String,
    },
    Closed {
        pipe: usize,
        to: Party,
    },
    Gone {
        party: Party,
        id: FlowId,
    },
    ToSbc {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    ToPeer {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Event {
        call: CallId,
        event: MediaEvent,
    },
}

impl World {
    /// Notes what crosses the core's border.
    pub(super) fn cross(
        &mut self,
        inward: bool,
        peer: Party,
        transport: Option<sip::Transport>,
        (local, remote): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) {
        let at = self.at();
        if let Some(crossings) = &mut self.crossings {
            crossings.push(Crossing {
                at,
                inward,
                peer,
                transport,
                local,
                remote,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Does what a peer wants.
    pub(super) fn perform(&mut self, party: Party, output: peer::Output) {
        match output {
            peer::Output::Send { flow, bytes } => self.send(party, flow, bytes),
            peer::Output::Connect { id, target } => self.connect(party, id, &target),
            peer::Output::Close { id } => {
                if let Some(pipe) = self.pipes.find(party, id) {
                    self.close(pipe, Party::Sbc);
                }
            }
            peer::Output::Bind { .. } | peer::Output::Unbind { .. } => {}
            peer::Output::Datagram {
                from,
                to,
                mut bytes,
            } => {
                let from = self.places.outside(from);
                self.count_packet(party, Party::Sbc);
                if self
                    .sieve
                    .as_mut()
                    .is_some_and(|sieve| !sieve(party, Party::Sbc, &mut bytes))
                {
                    return;
                }
                for at in self.link(party).clone().datagram(self.now, &mut self.dice) {
                    self.enqueue(
                        at,
                        Delivery::ToSbc {
                            to,
                            from,
                            bytes: bytes.clone(),
                        },
                    );
                }
            }
            peer::Output::Report(report) => self.reports.push(report),
        }
    }

    pub(super) fn deliver(&mut self, delivery: Delivery) {
        let now = self.now;
        match delivery {
            Delivery::Sip {
                pipe,
                to,
                bytes,
                entry,
            } => {
                let Some(flow) = self.pipes.flow(pipe, to) else {
                    return;
                };
                let at = self.at();
                if let Some(passed) = self.passed.get_mut(entry) {
                    passed.arrived.get_or_insert(at);
                }
                if to == Party::Sbc {
                    let ends = (flow.local, flow.remote);
                    self.cross(
                        true,
                        self.pipes.peer(pipe),
                        Some(flow.transport),
                        ends,
                        &bytes,
                    );
                }
                match sip::parse(bytes) {
                    Ok(message) => match to {
                        Party::Sbc => self.core.handle(now, Input::Sip { flow, message }),
                        Party::Meta => self.meta.receive(now, flow, message),
                        Party::Pbx => self.pbx.receive(now, flow, message),
                    },
                    Err(malformed) => {
                        let rule = format!("a message that cannot be read: {malformed}");
                        let peer = if to == Party::Meta { "meta" } else { "pbx" };
                        let at_ms = crate::report::millis(self.at());
                        self.reports.push(Report {
                            at_ms,
                            peer,
                            call: 0,
                            what: What::Violation { rule },
                        });
                    }
                }
            }
            Delivery::Opened { pipe, party, id } => {
                let Some(flow) = self.pipes.flow(pipe, party) else {
                    return;
                };
                // A pair of UDP addresses has a name for each who asked for it.
                let flow = Flow { id, ..flow };
                match party {
                    Party::Sbc => self.core.handle(now, Input::FlowOpened(flow)),
                    Party::Meta => self.meta.opened(now, flow),
                    Party::Pbx => self.pbx.opened(now, flow),
                }
            }
            Delivery::Refused { party, id, why } => match party {
                Party::Sbc => self.core.handle(now, Input::FlowFailed { id, why }),
                Party::Meta => self.meta.failed(now, id, &why),
                Party::Pbx => self.pbx.failed(now, id, &why),
            },
            Delivery::Closed { pipe, to } => {
                let Some(flow) = self.pipes.take_end(pipe, to) else {
                    return;
                };
                match to {
                    Party::Sbc => self.core.handle(now, Input::FlowClosed(flow.id)),
                    Party::Meta => self.meta.closed(now, flow.id),
                    Party::Pbx => self.pbx.closed(now, flow.id),
                }
            }
            Delivery::Gone { party, id } => match party {
                Party::Sbc => self.core.handle(now, Input::FlowClosed(id)),
                Party::Meta => self.meta.closed(now, id),
                Party::Pbx => self.pbx.closed(now, id),
            },
            Delivery::ToSbc { to, from, bytes } => {
                if let Some(party) = self.places.party_at(from.ip()) {
                    self.cross(true, party, None, (to, from), &bytes);
                }
                self.relay.receive(now, to, from, &bytes);
            }
            Delivery::ToPeer { to, from, bytes } => match self.places.party_at(to.ip()) {
                Some(Party::Meta) => self.meta.datagram(now, to, from, &bytes),
                Some(Party::Pbx) => {
                    let to = self.places.inside(to);
                    self.pbx.datagram(now, to, from, &bytes);
                }
                _ => {}
            },
            Delivery::Event { call, event } => self.core.handle(now, Input::Media { call, event }),
        }
    }

    /// A message enters a link.
    pub(super) fn send(&mut self, from: Party, flow: FlowId, bytes: Bytes) {
        let Some(pipe) = self.pipes.find(from, flow) else {
            if self.tell_stranger(flow, &bytes) {
                return;
            }
            // As on real sockets: whoever writes on a flow that is gone is told so.
            let gone = Delivery::Gone {
                party: from,
                id: flow,
            };
            return self.enqueue(self.now, gone);
        };
        let to = self.pipes.far(pipe, from);
        if from == Party::Sbc
            && let Some(own) = self.pipes.flow(pipe, from)
        {
            let ends = (own.local, own.remote);
            self.cross(false, to, Some(own.transport), ends, &bytes);
        }
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        let mut bytes = bytes;
        let entry = self.passed.len();
        self.passed.push(Passed {
            at: self.at(),
            from,
            to,
            connection: pipe,
            text: text.clone(),
            arrived: None,
        });
        if let Some(tamper) = &mut self.tamper {
            match tamper(from, to, &text) {
                None => return,
                Some(changed) if changed != text => {
                    text = changed;
                    bytes = Bytes::from(text);
                }
                Some(_) => {}
            }
        }
        let peer = if from == Party::Sbc { to } else { from };
        let link = self.link(peer).clone();
        match self.pipes.carrier(pipe) {
            Carrier::Datagrams => {
                for at in link.datagram(self.now, &mut self.dice) {
                    self.enqueue(
                        at,
                        Delivery::Sip {
                            pipe,
                            to,
                            bytes: bytes.clone(),
                            entry,
                        },
                    );
                }
            }
            Carrier::Stream => {
                if link.half_open || !self.pipes.is_up(pipe, to) {
                    return;
                }
                if self.pipes.is_dead(pipe) {
                    let reset = self.now + link.latency * 2;
                    for to in [from, to] {
                        self.enqueue(reset, Delivery::Closed { pipe, to });
                    }
                    return;
                }
                let at = link.stream(self.now, self.pipes.ahead(pipe, to));
                self.pipes.set_ahead(pipe, to, at);
                self.enqueue(
                    at,
                    Delivery::Sip {
                        pipe,
                        to,
                        bytes,
                        entry,
                    },
                );
            }
        }
    }

    /// A party wants a flow.
    pub(super) fn connect(&mut self, from: Party, id: FlowId, target: &sip::Target) {
        let to = match from {
            Party::Sbc => self.places.party_named(&target.host),
            _ => Some(Party::Sbc),
        };
        let Some(to) = to else {
            let why = format!("{} has no address", target.host);
            return self.enqueue(
                self.now,
                Delivery::Refused {
                    party: from,
                    id,
                    why,
                },
            );
        };
        let peer = if from == Party::Sbc { to } else { from };
        let link = self.link(peer).clone();
        // TCP takes one round trip, TLS another.
        let trips = match target.transport {
            sip::Transport::Tls => 4,
            _ => 2,
        };
        let open = self.now + link.latency * trips;
        if !target.transport.is_reliable() {
            let sbc = match from {
                Party::Sbc => target.from,
                _ => target
                    .host
                    .parse()
                    .ok()
                    .map(|ip| SocketAddr::new(ip, target.port)),
            };
            self.pipes.datagrams(peer, (from, id), sbc, self.now);
            let pipe = self.pipes.find(from, id).unwrap_or_default();
            let opened = Delivery::Opened {
                pipe,
                party: from,
                id,
            };
            return self.enqueue(self.now, opened);
        }
        if link.down {
            let why = format!("no connection to {}:{} in 5 s", target.host, target.port);
            return self.enqueue(
                self.now + Duration::from_secs(5),
                Delivery::Refused {
                    party: from,
                    id,
                    why,
                },
            );
        }
        let at = target.at.filter(|_| from == Party::Sbc).map(|at| at.ip());
        let pipe = self
            .pipes
            .stream(peer, from, id, target.transport, at, open + link.latency);
        let opened = Delivery::Opened {
            pipe,
            party: from,
            id,
        };
        self.enqueue(open, opened);
    }

    /// An end learns that its connection is gone.
    pub(super) fn close(&mut self, pipe: usize, to: Party) {
        if self.pipes.carrier(pipe) != Carrier::Stream {
            return;
        }
        let peer = self.pipes.peer(pipe);
        let at = self.link(peer).stream(self.now, self.pipes.ahead(pipe, to));
        self.enqueue(at, Delivery::Closed { pipe, to });
        // What the closing end would still write goes nowhere.
        self.enqueue(
            at,
            Delivery::Closed {
                pipe,
                to: if to == Party::Sbc { peer } else { Party::Sbc },
            },
        );
    }

    pub(super) fn link(&self, peer: Party) -> &Link {
        match peer {
            Party::Meta => &self.meta_link,
            _ => &self.pbx_link,
        }
    }
}
