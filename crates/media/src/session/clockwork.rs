//! What the clock brings: reports, filler.

use std::time::{Duration, Instant};

use sdp::Side;
use sdp::plan::Silence;

use super::{Channel, REPORT, Session};
use crate::outbox::Outbox;
use crate::rtcp;

impl Session {
    /// Queues a report (and BYE) for the leg.
    pub(super) fn report_rtcp(&mut self, now: Instant, side: Side, bye: bool, out: &mut Outbox) {
        let ntp = self.ntp(now);
        let leg = &mut self.legs[side.index()];
        let mut block = self.rx[side.index()].block();
        if let (Some(block), Some((of, last, at))) = (&mut block, leg.reports.last_sender)
            && block.ssrc == of
        {
            block.last_report = last;
            block.delay = rtcp::short(now.saturating_duration_since(at));
        }
        if let Some(block) = &block {
            let before = leg.opus();
            leg.redundancy.see(block.fraction_lost);
            if leg.opus() != before {
                leg.tune(&mut self.paths[(!side).index()]);
            }
        }
        let sent = leg.counters.packets_sent as u32;
        let sender = (sent != leg.reports.sent_before[0]).then(|| rtcp::SenderReport {
            ntp,
            timestamp: leg.tx.timestamp(now),
            packets: sent,
            octets: leg.counters.octets_sent as u32,
        });
        if sender.is_some() {
            leg.reports.tell(ntp);
        }
        leg.reports.sent_before = [leg.reports.sent_before[1], sent];
        let rx = &self.rx[side.index()];
        let metrics = leg
            .agreed
            .wants_voip_metrics
            .then(|| leg.counters.voip_metrics(rx, leg.codec()))
            .flatten();
        let Some(slot) = out.queue.vacant() else {
            return;
        };
        let mut len = rtcp::write(
            slot,
            leg.tx.ssrc(),
            sender.as_ref(),
            block.as_ref(),
            &leg.cname,
            bye,
        );
        // BYE is the last word (RFC 3550 §6.6).
        if let Some(metrics) = metrics.filter(|_| !bye) {
            len += rtcp::write_xr(&mut slot[len..], leg.tx.ssrc(), &metrics.to_block());
        }
        out.queue.commit(side, Channel::Rtcp, false, len);
    }

    /// The leg's gate has opened: the first report leaves at once where nothing else would.
    pub(super) fn opened(&mut self, now: Instant, side: Side, out: &mut Outbox) {
        self.paths[(!side).index()].opened(now, &mut self.legs[side.index()]);
        let wait = match self.legs[side.index()].silence {
            Silence::Rtcp => Duration::ZERO,
            Silence::Frames => Duration::from_millis(500 + self.chance.next() % 1_000),
        };
        self.legs[side.index()].reports.next = Some(now + wait);
        if wait.is_zero() {
            self.report_rtcp(now, side, false, out);
            self.legs[side.index()].reports.next = Some(now + REPORT);
        }
    }

    /// Queues the filler that is due.
    pub(super) fn fill(&mut self, now: Instant, out: &mut Outbox) {
        for to in Side::BOTH {
            if self.fill_at(to).is_some_and(|at| at <= now) {
                self.paths[(!to).index()].fill(now, &mut self.legs[to.index()], &mut out.queue);
            }
        }
    }

    /// When the next filler toward a leg is due.
    pub(super) fn fill_at(&self, to: Side) -> Option<Instant> {
        let (path, leg) = (&self.paths[(!to).index()], &self.legs[to.index()]);
        if !path.fills(leg) {
            return None;
        }
        let patience = path.patience(self.rx[(!to).index()].jitter_time(), leg);
        let length = leg.frame as i64 * leg.ticks_per_sample();
        Some(
            leg.tx
                .fill_at(leg.gate.unwrap_or(self.started), length, patience),
        )
    }

    pub(super) fn ntp(&self, now: Instant) -> u64 {
        rtcp::ntp(self.wall + now.saturating_duration_since(self.started))
    }
}

/// Who reports in a compound packet of ours, what it sent and what it received.
pub(super) fn said(
    packet: &[u8],
) -> Option<(u32, Option<rtcp::SenderReport>, Option<rtcp::Block>)> {
    let (mut who, mut sender, mut block) = (None, None, None);
    rtcp::read(packet, |item| match item {
        rtcp::Item::Sender { ssrc, report } => (who, sender) = (Some(ssrc), Some(report)),
        rtcp::Item::Block { ssrc, block: of } => (who, block) = (Some(ssrc), Some(of)),
        rtcp::Item::Bye { ssrc } => who = who.or(Some(ssrc)),
    });
    who.map(|ssrc| (ssrc, sender, block))
}
