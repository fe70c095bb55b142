//! Another telephone of the PBX takes the PBX's leg over by itself (RFC 3891): an attended transfer the
//! PBX carries out without us, or the pick-up of a call that rings elsewhere.
//!
//! ```text
//!  talking    INVITE Replaces ──► 200, media goes there     the leg before it ──► BYE
//!  ringing    INVITE Replaces ──► 200, the caller answered  the leg before it ──► CANCEL
//!  other leg  ───────────────── hears nothing of it but another voice ────────────────
//! ```
//!
//! As with a transfer, the far side's leg is not touched: its SSRC, sequence and timestamps go on.

use bytes::Bytes;
use sdp::Side;
use sdp::plan::Gate;
use sip::{Flow, Replaces, Request, ServerKey};

use super::{Call, State};
use crate::Cause;
use crate::context::Context;
use crate::dial;
use crate::io::Level;
use crate::leg::sip::{Incoming, SipLeg, Standing, Way, words};
use crate::media::MediaCommand;
use crate::record::ReleasedBy;
use crate::settings::Trunk;
use crate::stream::Stream;

/// What is replaced.
enum Place {
    /// A telephone that rings.
    Ringing,
    /// A telephone that talks.
    Talking,
}

impl Call {
    /// The trunk the call is on.
    pub(crate) fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    /// A telephone of the PBX wants the place of another one; `way`: to where it is.
    pub(crate) fn replace(
        &mut self,
        cx: &mut Context<'_>,
        flow: Flow,
        key: ServerKey,
        invite: Request,
        replaces: &Replaces,
        way: Way,
    ) {
        let taken = self
            .place_of(replaces)
            .and_then(|place| self.give_way(cx, (flow, way), key, &invite, &place));
        if let Err(status) = taken {
            let tag = cx.ident.tag();
            let refusal = words::response(&invite, status, &tag, &cx.settings.product);
            cx.respond(key, refusal);
        }
        self.end_if_over(cx);
    }

    /// What the header names, or the status it is refused with (RFC 3891 §3).
    fn place_of(&self, replaces: &Replaces) -> Result<Place, u16> {
        let side = self.pbx();
        let standing = self
            .leg(side)
            .map_or(Standing::Unknown, |leg| leg.standing(&replaces.dialog));
        let former = self.former.iter().map(|leg| leg.standing(&replaces.dialog));
        let over = matches!(self.state, State::Releasing { .. } | State::Ended)
            || former
                .into_iter()
                .any(|standing| standing != Standing::Unknown);
        match standing {
            _ if over => Err(603),
            // The peer's own call, which we have not answered: nobody else can take it.
            Standing::EarlyOfPeer => Err(481),
            // Of a new target that rings.
            Standing::Unknown if self.transfer.is_some() => Err(491),
            Standing::Unknown | Standing::Over => Err(603),
            Standing::Confirmed | Standing::Unconfirmed if replaces.early_only => Err(486),
            // A transfer is under way, or an ACK: asked again a moment later it can be had.
            _ if self.transfer.is_some() || self.is_crowded() => Err(491),
            Standing::Unconfirmed => Err(491),
            Standing::EarlyOfOurs => Ok(Place::Ringing),
            Standing::Confirmed => match self.state {
                State::Answering | State::Talking => Ok(Place::Talking),
                _ => Err(491),
            },
        }
    }

    /// Answers the new leg and lets the one before it go; or the status of a refusal, which changes
    /// nothing.
    fn give_way(
        &mut self,
        cx: &mut Context<'_>,
        (flow, way): (Flow, Way),
        key: ServerKey,
        invite: &Request,
        place: &Place,
    ) -> Result<(), u16> {
        let side = self.pbx();
        let (stream, words) = self.welcome(cx, side, &invite.body).ok_or(488_u16)?;
        if stream.agreed().is_none() && matches!(place, Place::Ringing) {
            // The caller is answered with what the new telephone says, and that has to be now.
            return Err(488);
        }
        let user = match &self.alias {
            Some(alias) => alias.plus(),
            None => self.user.clone(),
        };
        let incoming = Incoming {
            profile: self.trunk.profile.clone(),
            sent_by: dial::ours(&self.trunk, &flow),
            contact: dial::trunk_contact(&self.trunk, &user, &flow),
            from: dial::home(&self.trunk, &flow),
            answerer: dial::trunk_answerer(&self.trunk),
            way,
        };
        let mut leg = SipLeg::uas(cx, side, flow, key, invite.clone(), incoming).ok_or(400_u16)?;
        leg.answer(cx, words);
        if matches!(place, Place::Ringing) {
            self.vacate(cx);
        }
        self.streams[side.index()] = stream;
        let before = match side {
            Side::A => Some(std::mem::replace(&mut self.a, leg)),
            Side::B => self.b.replace(leg),
        };
        if let Some(mut before) = before {
            let _ = before.release(cx, &Cause::Normal);
            self.former.push(before);
        }
        self.referrals = 0;
        cx.log(Level::Info, "another telephone of the PBX takes the call");
        match place {
            Place::Ringing => self.answered(cx, &[]),
            Place::Talking => self.hear_instead(cx, side),
        }
        Ok(())
    }

    /// The stream of a new leg and what its 200 says; `None` if its offer does not fit.
    fn welcome(&self, cx: &mut Context<'_>, side: Side, offer: &[u8]) -> Option<(Stream, Bytes)> {
        let before = &self.streams[side.index()];
        let prefer = before.agreed().map(|agreed| agreed.audio.codec);
        let mut stream = before.successor(cx.ident)?;
        stream.offered(offer).ok()?;
        let words = match stream.was_offered() {
            true => stream.answer(prefer).ok()?,
            false => stream.offer().ok()?,
        };
        Some((stream, words))
    }

    /// From now on the other leg hears the new one, as soon as that has agreed.
    fn hear_instead(&mut self, cx: &mut Context<'_>, side: Side) {
        let source = self.leg(side).and_then(|leg| leg.peer_address(cx));
        let Some(plan) = self.streams[side.index()].plan(Gate::Open, source) else {
            return;
        };
        cx.media(MediaCommand::Replace {
            side,
            plan: Box::new(plan),
        });
        self.sounds(cx);
    }

    /// The ACK of a leg that took another one's place; it brings the answer where we had to offer.
    pub(super) fn settled(&mut self, cx: &mut Context<'_>, side: Side, body: &[u8]) {
        let is_pbx = side == self.pbx();
        let stream = &mut self.streams[side.index()];
        if !is_pbx || stream.agreed().is_some() {
            return;
        }
        match stream.answered(body).map(drop) {
            Ok(()) => self.hear_instead(cx, side),
            Err(cause) => self.release(cx, cause, ReleasedBy::Us),
        }
    }
}
