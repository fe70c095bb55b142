//! One leg: its agreement, its keys, whom we believe, what we send it and what it reported.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use sdp::plan::{Care, Gate, LegPlan, Proof, Silence, Sound};
use sdp::report::LegReport;
use sdp::{Agreed, Codec, Crypto, Direction, Keying, Side};

use crate::codec::{self, CodecError, Law, OpusSettings, SAMPLES_PER_MS, Spare};
use crate::failing::Failing;
use crate::latch::Latch;
use crate::noise;
use crate::path::Path;
use crate::player::Player;
use crate::redundancy::Redundancy;
use crate::rtcp;
use crate::rtp::Clock;
use crate::srtp::{Protect, Unprotect};
use crate::stats::Counters;
use crate::tx::Transmitter;

/// What a payload type of the leg means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    Event,
    /// Comfort noise beside an 8 kHz codec: never negotiated, but what it means is known (RFC 3389).
    Noise,
    /// Nothing we agreed on: it takes a sequence number and no more.
    Other,
}

/// The state of one leg.
pub(crate) struct Leg {
    pub(crate) side: Side,
    pub(crate) agreed: Agreed,
    pub(crate) cname: Box<[u8]>,
    pub(crate) silence: Silence,
    /// What proves the way to the leg.
    pub(crate) proof: Option<Proof>,
    /// The leg was heard, RTP or RTCP.
    pub(crate) heard: bool,
    /// Since when packets may go to the leg.
    pub(crate) gate: Option<Instant>,
    unsolicited_dtmf: Option<u8>,
    pub(crate) care: Care,
    pub(crate) rtp_latch: Latch,
    pub(crate) rtcp_latch: Latch,
    /// On the heap: most legs of a PBX have none.
    pub(crate) protect: Option<Box<Protect>>,
    pub(crate) unprotect: Option<Box<Unprotect>>,
    pub(crate) failing: Failing,
    pub(crate) tx: Transmitter,
    /// Samples at 8 kHz per frame we send.
    pub(crate) frame: usize,
    /// A frame of silence, ready to send where no encoder runs.
    silence_frame: Cow<'static, [u8]>,
    /// What the leg hears of us while the other leg has nothing to say.
    pub(crate) player: Option<Box<Player>>,
    /// The figures of who was at this leg before.
    pub(crate) before: Option<Box<LegReport>>,
    pub(crate) counters: Counters,
    pub(crate) watch: Watch,
    pub(crate) reports: Reports,
    /// How Opus is encoded for the leg: within what it asks for, by what it reports.
    pub(crate) redundancy: Redundancy,
    /// A report changed that, and the encoder does not know yet.
    pub(crate) untold: bool,
}

/// When we last heard of the far side.
pub(crate) struct Watch {
    /// Milliseconds of silence that end it.
    pub(crate) patience: Option<NonZeroU32>,
    /// Milliseconds of silence that are worth a word.
    pub(crate) quiet_after: Option<NonZeroU32>,
    /// RTP or RTCP.
    pub(crate) heard: Instant,
    /// RTP.
    pub(crate) media: Instant,
    pub(crate) silent: bool,
    pub(crate) quiet: bool,
}

/// As milliseconds, at least one and at most 49 days.
fn millis(after: Duration) -> NonZeroU32 {
    let millis = after.as_millis().clamp(1, u32::MAX.into());
    NonZeroU32::try_from(millis as u32).unwrap_or(NonZeroU32::MIN)
}

/// The moment so many milliseconds after another.
fn after(from: Instant, millis: NonZeroU32) -> Instant {
    from + Duration::from_millis(millis.get().into())
}

/// The RTCP of a leg.
#[derive(Default)]
pub(crate) struct Reports {
    /// When our next report is due; `None` while the gate is shut.
    pub(crate) next: Option<Instant>,
    /// Whose the far side's last sender report was, the middle 32 bits of its NTP time, and when it came.
    pub(crate) last_sender: Option<(u32, u32, Instant)>,
    /// The same bits of our last sender reports: a report that answers another one says nothing of the round trip.
    told: [u32; REMEMBERED],
    /// RTP packets sent when the last two reports left, modulo 2^32.
    pub(crate) sent_before: [u32; 2],
}

/// Sender reports of ours the far side may answer: those of the last 18 s.
const REMEMBERED: usize = 4;

/// A clock that is read twice within one unit may make a round trip slightly negative.
const SLIGHTLY: Duration = Duration::from_millis(5);

impl Reports {
    /// A sender report of ours leaves, made at this moment.
    pub(crate) fn tell(&mut self, ntp: u64) {
        self.told.rotate_right(1);
        self.told[0] = middle(ntp);
    }

    /// The round trip by a block of the far side's (RFC 3550 §6.4.1); `ntp`: this moment.
    fn round_trip(&self, ntp: u64, block: &rtcp::Block) -> Option<Duration> {
        if block.last_report == 0 || !self.told.contains(&block.last_report) {
            return None;
        }
        let since = middle(ntp).wrapping_sub(block.last_report);
        match since.checked_sub(block.delay) {
            Some(trip) => Some(rtcp::long(trip)),
            None => (rtcp::long(block.delay - since) <= SLIGHTLY).then_some(Duration::ZERO),
        }
    }
}

/// The middle 32 bits of an NTP time, as reports repeat them.
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

impl Leg {
    pub(crate) fn new(
        now: Instant,
        side: Side,
        plan: &LegPlan,
        opus: &OpusSettings,
        sequence: u16,
        timestamp: u32,
        spare: &mut Spare,
    ) -> Result<Self, CodecError> {
        let agreed = plan.agreed.clone();
        let secured = agreed.keying != Keying::None;
        let frame = frame(&agreed);
        let (protect, unprotect) = keys(&agreed.keying);
        Ok(Self {
            side,
            cname: plan.cname.as_bytes().into(),
            silence: plan.silence,
            proof: plan.proof,
            heard: false,
            gate: matches!(plan.gate, Gate::Open).then_some(now),
            unsolicited_dtmf: plan.unsolicited_dtmf,
            care: plan.care,
            rtp_latch: Latch::new(plan.latch, secured, agreed.remote_rtp),
            rtcp_latch: Latch::new(plan.latch, secured, agreed.remote_rtcp),
            protect,
            unprotect,
            failing: Failing::default(),
            tx: Transmitter::new(
                plan.ssrc,
                Clock(agreed.audio.codec.clock()),
                sequence,
                timestamp,
            ),
            frame,
            silence_frame: silence(agreed.audio.codec, frame, opus, spare)?,
            player: None,
            before: None,
            counters: Counters::default(),
            watch: Watch {
                patience: plan.inactivity.map(millis),
                heard: now,
                silent: false,
                quiet_after: plan.quiet.map(millis),
                media: now,
                quiet: false,
            },
            reports: Reports::default(),
            redundancy: Redundancy::new(asked(&agreed, opus)),
            untold: false,
            agreed,
        })
    }

    /// Takes over a new agreement. Keys that did not change keep their state, and so does everything
    /// the far side sees of us: SSRC, sequence, the line of timestamps.
    pub(crate) fn agree(
        &mut self,
        now: Instant,
        agreed: Agreed,
        opus: &OpusSettings,
    ) -> Result<(), CodecError> {
        let length = frame(&agreed);
        if agreed.audio.codec != self.codec() || length != self.frame {
            self.silence_frame = silence(agreed.audio.codec, length, opus, &mut Spare::none())?;
            self.frame = length;
        }
        self.redundancy.agree(asked(&agreed, opus));
        let settings = self.opus();
        if let Some(player) = &mut self.player {
            match agreed.audio.codec == self.agreed.audio.codec {
                true => player.tune(&settings),
                false => player.retune(agreed.audio.codec, &settings)?,
            }
        }
        let (local, remote) = (crypto(&agreed.keying), crypto(&self.agreed.keying));
        if local.map(|(local, _)| local) != remote.map(|(local, _)| local) {
            let before = self.protect.take();
            self.protect = local.map(|(local, _)| Box::new(Protect::new(local)));
            let same = local.zip(remote).is_some_and(|((new, _), (old, _))| {
                let (new, old) = (new.key.key(), old.key.key());
                new.starts_with(old) || old.starts_with(new)
            });
            if let (Some(before), Some(protect), true) = (before, &mut self.protect, same) {
                // The same key in another suite: nothing of its key stream may come twice.
                before.streams().for_each(|state| protect.restore(state));
            }
        }
        if local.map(|(_, remote)| remote) != remote.map(|(_, remote)| remote) {
            let before = self.unprotect.take();
            self.unprotect = local.map(|(_, remote)| {
                Box::new(match &before {
                    Some(before) => Unprotect::succeeding(remote, before),
                    None => Unprotect::new(remote),
                })
            });
        }
        let secured = agreed.keying != Keying::None;
        self.rtp_latch.agree(secured, agreed.remote_rtp);
        self.rtcp_latch.agree(secured, agreed.remote_rtcp);
        self.tx.agree(now, Clock(agreed.audio.codec.clock()));
        if agreed.direction != self.agreed.direction {
            self.watch.heard = now;
            self.watch.media = now;
        }
        self.agreed = agreed;
        Ok(())
    }

    /// How Opus is encoded for the leg now.
    pub(crate) fn opus(&self) -> OpusSettings {
        self.redundancy.settings()
    }

    /// Tells that to whatever encodes for the leg; `path` leads to it.
    pub(crate) fn tune(&mut self, path: &mut Path) {
        let settings = self.opus();
        if let Some(player) = &mut self.player {
            player.tune(&settings);
        }
        path.tune(&settings);
    }

    pub(crate) fn codec(&self) -> Codec {
        self.agreed.audio.codec
    }

    /// Ticks of the leg's RTP clock per sample at 8 kHz.
    pub(crate) fn ticks_per_sample(&self) -> i64 {
        i64::from(self.codec().clock() / 8_000)
    }

    /// What a payload type we receive means.
    pub(crate) fn kind(&self, pt: u8) -> Kind {
        if pt == self.agreed.audio.receive_pt {
            Kind::Audio
        } else if self
            .agreed
            .dtmf
            .as_ref()
            .is_some_and(|d| d.receive_pt == pt)
            || self.unsolicited_dtmf == Some(pt)
        {
            Kind::Event
        } else if pt == noise::PAYLOAD_TYPE && self.codec().clock() == 8_000 {
            Kind::Noise
        } else {
            Kind::Other
        }
    }

    /// Whether keys are tones in its audio: there are no telephone events to tell them by.
    pub(crate) fn has_tones(&self) -> bool {
        self.care.tones && self.agreed.dtmf.is_none()
    }

    /// Whether audio and events may go to the leg, its gate aside.
    pub(crate) fn sends(&self) -> bool {
        self.agreed.direction.sends() && self.rtp_latch.destination().is_some()
    }

    /// Plays a sound to the leg from its beginning whenever the other leg has nothing to say, or no
    /// longer. A sound that plays already goes on.
    pub(crate) fn play(&mut self, sound: Option<Sound>) -> Result<(), CodecError> {
        let playing = self.player.as_ref().map(|player| player.sound());
        if playing != sound.as_ref() {
            let (codec, opus) = (self.codec(), self.opus());
            let player = sound.map(|sound| Player::new(sound, codec, &opus));
            self.player = player.transpose()?.map(Box::new);
        }
        Ok(())
    }

    /// Whether something is to be filled in while the other leg is quiet.
    pub(crate) fn fills(&self) -> bool {
        let has_filler = self.silence == Silence::Frames || self.player.is_some();
        has_filler && self.gate.is_some() && self.sends()
    }

    pub(crate) fn silence_payload(&self) -> &[u8] {
        &self.silence_frame
    }

    /// When the far side's silence is worth telling. A leg on hold, in either direction, may be silent.
    pub(crate) fn silent_at(&self) -> Option<Instant> {
        let watched = !self.watch.silent && self.agreed.direction == Direction::SendRecv;
        self.watch
            .patience
            .filter(|_| watched)
            .map(|patience| after(self.watch.heard, patience))
    }

    /// When missing RTP is worth a word.
    pub(crate) fn quiet_at(&self) -> Option<Instant> {
        let watched = !self.watch.quiet && self.agreed.direction == Direction::SendRecv;
        self.watch
            .quiet_after
            .filter(|_| watched)
            .map(|quiet| after(self.watch.media, quiet))
    }

    /// Reads what the far side reports. `ntp`: this moment.
    pub(crate) fn read_rtcp(&mut self, now: Instant, ntp: u64, bytes: &[u8]) {
        let (ssrc, clock) = (self.tx.ssrc(), self.tx.clock());
        let (counters, reports) = (&mut self.counters, &mut self.reports);
        let (redundancy, untold) = (&mut self.redundancy, &mut self.untold);
        let whole = rtcp::read(bytes, |item| match item {
            rtcp::Item::Sender { ssrc, report } => {
                reports.last_sender = Some((ssrc, middle(report.ntp), now))
            }
            rtcp::Item::Block { block, .. } if block.ssrc == ssrc => {
                counters.remote_loss = Some(block.fraction_lost);
                redundancy.hear(block.fraction_lost);
                *untold = true;
                counters.remote_lost = block.lost.max(0) as u32;
                counters.remote_jitter = clock.duration(i64::from(block.jitter)).into();
                if let Some(trip) = reports.round_trip(ntp, &block) {
                    counters.round_trip = Some(trip.into());
                }
            }
            _ => {}
        });
        if whole {
            counters.rtcp_received = counters.rtcp_received.saturating_add(1);
        } else {
            counters.malformed += 1;
        }
    }
}

/// How Opus is to be encoded for a leg: within what its `a=fmtp` asks for (RFC 7587 §6.1). We encode 8 kHz,
/// which is below any `maxplaybackrate`.
fn asked(agreed: &Agreed, engine: &OpusSettings) -> OpusSettings {
    let asked = agreed.audio.remote_fmtp.as_deref().unwrap_or("");
    let value = |name: &str| {
        asked.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let most = value("maxaveragebitrate").and_then(|most| most.parse().ok());
    OpusSettings {
        bitrate: engine.bitrate.min(most.unwrap_or(u32::MAX)),
        fec: engine.fec && value("useinbandfec") != Some("0"),
        ..*engine
    }
}

/// One frame of silence in the leg's codec.
fn silence(
    codec: Codec,
    samples: usize,
    opus: &OpusSettings,
    spare: &mut Spare,
) -> Result<Cow<'static, [u8]>, CodecError> {
    Ok(match codec {
        Codec::Pcma => (&A_SILENCE[..samples]).into(),
        Codec::Pcmu => (&MU_SILENCE[..samples]).into(),
        Codec::Opus => {
            let silence = spare.silence(samples, opus)?;
            silence.bytes[..silence.len].to_vec().into()
        }
        Codec::TelephoneEvent => return Err(CodecError::NotAudio(codec)),
    })
}

/// The longest frame we send, 60 ms, of nothing.
static A_SILENCE: [u8; codec::SILENCE] = [Law::A.silence(); codec::SILENCE];
static MU_SILENCE: [u8; codec::SILENCE] = [Law::Mu.silence(); codec::SILENCE];

fn frame(agreed: &Agreed) -> usize {
    usize::from(codec::frame_ms(agreed.audio.codec, agreed.ptime)) * SAMPLES_PER_MS
}

fn crypto(keying: &Keying) -> Option<(&Crypto, &Crypto)> {
    match keying {
        Keying::None => None,
        Keying::Sdes { local, remote } => Some((&**local, &**remote)),
    }
}

fn keys(keying: &Keying) -> (Option<Box<Protect>>, Option<Box<Unprotect>>) {
    let pair = crypto(keying);
    (
        pair.map(|(local, _)| Box::new(Protect::new(local))),
        pair.map(|(_, remote)| Box::new(Unprotect::new(remote))),
    )
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use sdp::{SrtpKey, Suite};

    use super::*;
    use crate::srtp::StreamState;

    fn keying(suite: Suite, key: u8) -> Keying {
        let crypto = |key: u8| Crypto {
            tag: 1,
            suite,
            key: SrtpKey::wide([key; 44]).fit(suite).unwrap(),
            lifetime: None,
            mki: None,
        };
        Keying::Sdes {
            local: crypto(key).into(),
            remote: crypto(99).into(),
        }
    }

    #[test]
    fn another_suite_under_the_same_key_never_repeats_its_key_stream() {
        let (now, opus) = (Instant::now(), crate::EngineSettings::default().opus());
        let mut plan = LegPlan::nobody();
        plan.agreed.keying = keying(Suite::AesCm128HmacSha1_80, 7);
        let mut leg = Leg::new(now, Side::B, &plan, &opus, 0, 0, &mut Spare::none()).unwrap();
        let state = StreamState {
            ssrc: 5,
            rtp_highest: Some(3 << 16 | 700),
            rtp_seen: 1,
            rtcp_highest: Some(40),
            rtcp_seen: 1,
        };
        leg.protect.as_mut().unwrap().restore(state);
        let mut agree = |suite, key| {
            let agreed = Agreed {
                keying: keying(suite, key),
                ..plan.agreed.clone()
            };
            leg.agree(now, agreed, &opus).unwrap();
            leg.protect.as_ref().unwrap().streams().next()
        };
        for suite in Suite::ALL {
            assert_eq!(agree(suite, 7), Some(state), "{suite:?}");
        }
        assert_eq!(
            agree(Suite::AeadAes256Gcm, 8),
            None,
            "another key begins anew"
        );
    }
}
