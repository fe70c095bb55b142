//! How a world turns: the earliest of all deliveries and wake-ups happens, and everybody does what follows from it, until
//! nobody wants anything more at this moment.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use b2bua::{Input, MediaCommand, MediaEvent, Output};

use super::carry::Delivery;
use super::{Party, World};
use crate::peer::Peer;

impl World {
    /// The next moment anything happens.
    pub(super) fn next(&self) -> Option<Instant> {
        [
            self.queue.keys().next().map(|(at, _)| *at),
            self.core_wakes,
            self.meta.next_timeout(),
            self.pbx.next_timeout(),
            self.relay.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The earliest moment's events happen.
    pub fn step(&mut self) {
        let Some(at) = self.next() else { return };
        self.now = self.now.max(at);
        let now = self.now;
        while let Some(entry) = self
            .queue
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let delivery = entry.remove();
            self.deliver(delivery);
            self.settle();
        }
        if self.core_wakes.is_some_and(|at| at <= now) {
            self.core.handle(now, Input::Tick);
        }
        if self.relay.next_timeout().is_some_and(|at| at <= now) {
            self.relay.timeout(now);
            let (meta, pbx, mute) = (&self.meta, &self.pbx, &self.mute);
            let down = (self.meta_link.down, self.pbx_link.down);
            let meta_media = self.places.meta_media;
            let speaks = |at: SocketAddr| match at.ip() == meta_media {
                true => meta.speaks_at(at) && !down.0 && !mute.contains(&Party::Meta),
                false => pbx.speaks_at(at) && !down.1 && !mute.contains(&Party::Pbx),
            };
            self.relay.listen(now, &speaks);
        }
        if self.meta.next_timeout().is_some_and(|at| at <= now) {
            self.meta.timeout(now);
        }
        if self.pbx.next_timeout().is_some_and(|at| at <= now) {
            self.pbx.timeout(now);
        }
        self.settle();
    }

    /// Performs what everybody wants until nobody wants anything.
    pub(super) fn settle(&mut self) {
        loop {
            let mut done = self.drain_core();
            done |= self.drain_relay();
            for party in [Party::Meta, Party::Pbx] {
                let mut outputs = VecDeque::new();
                while let Some(output) = match party {
                    Party::Meta => self.meta.poll(),
                    _ => self.pbx.poll(),
                } {
                    outputs.push_back(output);
                }
                done |= !outputs.is_empty();
                for output in outputs {
                    self.perform(party, output);
                }
            }
            if !done {
                return;
            }
        }
    }

    fn drain_core(&mut self) -> bool {
        let mut done = false;
        loop {
            match self.core.poll() {
                Output::Wait(at) => {
                    self.core_wakes = at;
                    return done;
                }
                Output::Send { flow, bytes } => self.send(Party::Sbc, flow, bytes),
                Output::Connect { id, target } => self.connect(Party::Sbc, id, &target),
                Output::Media {
                    call,
                    command: MediaCommand::Open { .. },
                } if self.no_ports => {
                    let event = MediaEvent::Failed("no free media port".into());
                    self.enqueue(self.now, Delivery::Event { call, event });
                }
                Output::Media { call, command } => {
                    for event in self.relay.command(self.now, call, command, self.audio) {
                        self.enqueue(self.now, Delivery::Event { call, event });
                    }
                }
                // Destinations of scenes are addresses.
                Output::Leg { .. } | Output::Locate { .. } => {}
                Output::Bar { source, .. } => self.barred.push(source),
                Output::Alias(alias) => self.aliases.push(alias),
                Output::Whereabouts(kept) => self.whereabouts.push(kept),
                Output::Record(record) => self.records.push(*record),
                Output::Event(event) => self.events.push(*event),
                Output::Reply { reply, .. } => self.replies.push(reply),
                Output::Log(line) => self.log.push(line),
            }
            done = true;
        }
    }

    fn drain_relay(&mut self) -> bool {
        let (mut done, now) = (false, self.now);
        while let Some((call, event)) = self.relay.event() {
            self.enqueue(now, Delivery::Event { call, event });
            done = true;
        }
        while let Some((from, to, mut bytes)) = self.relay.packet() {
            done = true;
            let party = self.places.party_at(to.ip());
            let Some(party) = party else { continue };
            self.count_packet(Party::Sbc, party);
            self.cross(false, party, None, (from, to), &bytes);
            if self
                .sieve
                .as_mut()
                .is_some_and(|sieve| !sieve(Party::Sbc, party, &mut bytes))
            {
                continue;
            }
            for at in self.link(party).clone().datagram(now, &mut self.dice) {
                self.enqueue(
                    at,
                    Delivery::ToPeer {
                        to,
                        from,
                        bytes: bytes.clone(),
                    },
                );
            }
        }
        done
    }

    pub(super) fn count_packet(&mut self, from: Party, to: Party) {
        *self.packets.entry((from, to)).or_default() += 1;
        let at = self.at();
        self.first_packets.entry((from, to)).or_insert(at);
    }

    pub(super) fn enqueue(&mut self, at: Instant, delivery: Delivery) {
        self.queued += 1;
        self.queue.insert((at, self.queued), delivery);
    }
}
