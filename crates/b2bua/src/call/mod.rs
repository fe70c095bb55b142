//! A call: two legs and the story between them.
//!
//! ```text
//!          A offered, admitted
//!                 │ Media Open
//!                 ▼
//!           ┌───────────┐
//!           │ Preparing ├───────────────── media failed · in time ────────┐
//!           └─────┬─────┘                                                │
//!  media Opened   │ B ◄ offer                                            │
//!                 ▼                                                      │
//!           ┌───────────┐                                                │
//!           │  Dialing  ├── B refuses · B silent · A cancels ────────────┤
//!           └─────┬─────┘                                                │
//!  B progress     │ A ◄ 180                                              │
//!                 ▼                                                      │
//!           ┌───────────┐                                                │
//!           │  Ringing  ├── idem ────────────────────────────────────────┤
//!           └─────┬─────┘                                                │
//!  B answered     │ B ◄ ACK · media Start · A ◄ 200 · gate open          │
//!                 ▼                                                      │
//!           ┌───────────┐                                                │
//!           │ Answering ├── no ACK in 64·T1 · either releases ───────────┤
//!           └─────┬─────┘                                                │
//!  A confirmed    │                                                      │
//!                 ▼                                                      ▼
//!           ┌───────────┐  release · media silent · operator     ┌────────────┐ both legs   ┌───────┐
//!           │  Talking  ├───────────────────────────────────────►│ Releasing  ├────────────►│ Ended │
//!           └───────────┘                                        └────────────┘ gone        └───────┘
//! ```
//!
//! This file says what a call is and how it begins. Whatever comes in afterwards passes `switchboard`; the story itself is
//! told in `setup`, `progress`, `reoffer`, `transfer`, `replace` and `ending`.
//!
//! Hold is no state: it is a direction inside what leg B agreed on.

mod ending;
mod facts;
mod progress;
mod reoffer;
mod replace;
mod setup;
mod switchboard;
mod transfer;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdp::Side;
use sdp::plan::Sound;
use sdp::report::MediaReport;
use sip::{Flow, FlowId, Request, ServerKey, Target};

use crate::Cause;
use crate::admission::Admitted;
use crate::comfort::Comfort;
use crate::context::Context;
use crate::dial::{self, Inherited};
use crate::draft::Draft;
use crate::event::Happened;
use crate::leg::sip::{Incoming, SipLeg, Way};
use crate::media::{LocalMedia, MediaCommand, Network};
use crate::number::E164;
use crate::record::{Direction, ReleasedBy};
use crate::registration::serve::Place;
use crate::settings::{Number, Trunk};
use crate::stream::Stream;
use progress::Early;
use transfer::Transfer;

/// How long binding ports may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(5);

/// A call: two legs and the story between them.
#[derive(Debug)]
pub(crate) struct Call {
    direction: Direction,
    number: Arc<Number>,
    trunk: Arc<Trunk>,
    user: String,
    inherited: Inherited,
    /// The flow the caller's INVITE came on.
    caller: FlowId,
    a: SipLeg,
    b: Option<SipLeg>,
    /// Earlier legs B that gave way to the present one and are not off the wire yet.
    former: Vec<SipLeg>,
    /// The number of a user who has none.
    alias: Option<E164>,
    /// The trunks to try after this one.
    others: Vec<Arc<Trunk>>,
    /// Where else leg B may be had.
    route: VecDeque<Stop>,
    /// Where leg B was called last.
    called: Option<Arc<Target>>,
    /// Leg B's ports, for when another trunk takes the call.
    local: Option<LocalMedia>,
    /// The trunk whose limit it counts against.
    counted: Arc<str>,
    streams: [Stream; 2],
    /// How often either side offered anew lately.
    insistence: [reoffer::Insistence; 2],
    /// The source address of leg A's signalling.
    signalling: IpAddr,
    state: State,
    media: Media,
    /// When the called side must have answered.
    answer_by: Instant,
    draft: Draft,
    /// The one more try after passing trouble is used up.
    called_again: bool,
    /// It no longer counts against the limits.
    left: bool,
    /// What was done before leg B answered.
    early: Early,
    /// The media session was started.
    running: bool,
    /// Leg B's own media has its place in the session.
    present: bool,
    /// What a leg says is coded anew because of the length of its packets.
    recut: [bool; 2],
    /// The PBX sends its call elsewhere.
    transfer: Option<Box<Transfer>>,
    /// REFERs taken up in the PBX's present dialog.
    referrals: u32,
    /// What media plays to each leg.
    sounding: [Option<Sound>; 2],
}

#[derive(Debug)]
enum State {
    /// Ports are being bound.
    Preparing { until: Instant },
    /// Leg B was called, and has not said yet that it rings.
    Dialing {
        target: Arc<Target>,
        /// When the next destination is tried unless a word of this one has come.
        patience: Option<Instant>,
    },
    /// The destination has passing trouble; it is called once more then.
    Pausing { target: Arc<Target>, until: Instant },
    /// Leg B rings, and leg A knows.
    Ringing,
    /// Leg A was sent our 200.
    Answering,
    /// Both legs agreed.
    Talking,
    /// The call is over; its legs and its ports are not.
    Releasing {
        cause: Box<Cause>,
        by: ReleasedBy,
        until: Instant,
    },
    /// Nothing is left.
    Ended,
}

/// A place where leg B may be had.
#[derive(Clone, Debug)]
struct Stop {
    trunk: Arc<Trunk>,
    target: Target,
    /// The contact that is called there, if the trunk registers.
    place: Option<Place>,
}

impl Stop {
    /// One of the trunk's destinations.
    fn at(trunk: &Arc<Trunk>, target: Target) -> Stop {
        Stop {
            trunk: trunk.clone(),
            target,
            place: None,
        }
    }

    /// Where the trunk has registered.
    fn registered(trunk: &Arc<Trunk>, place: Place) -> Stop {
        Stop {
            trunk: trunk.clone(),
            target: place.target(),
            place: Some(place),
        }
    }
}

/// The media engine's part of the call.
#[derive(Debug)]
enum Media {
    Open,
    Closing,
    Closed(Box<MediaReport>),
}

impl Call {
    /// Takes an admitted INVITE. `None` if it cannot make a dialog.
    pub(crate) fn open(
        cx: &mut Context<'_>,
        admitted: Admitted,
        flow: Flow,
        key: ServerKey,
        invite: Request,
    ) -> Option<Call> {
        let Admitted {
            direction,
            number,
            trunk,
            others,
            user,
            alias,
            proved,
            ..
        } = admitted;
        let settings = cx.settings.clone();
        let carrier = &settings.carrier;
        let rules = match direction {
            Direction::UserInitiated => &trunk.policy.to_pbx,
            Direction::BusinessInitiated => &trunk.policy.to_carrier,
        };
        let inherited = Inherited::from(&invite)?.keeping(&invite, rules);
        let inherited = others.iter().fold(inherited, |kept, other| {
            kept.keeping(&invite, &other.policy.to_pbx)
        });
        let mut draft = Draft::new(cx.wall(), carrier.profile.metadata);
        let of_carrier = Stream::of_carrier(carrier, &number);
        let of_trunk = Stream::of_trunk(&trunk);
        let (incoming, streams, limit) = match direction {
            Direction::UserInitiated => {
                draft.metadata.invited(&invite);
                let incoming = Incoming {
                    profile: carrier.profile.clone(),
                    sent_by: dial::carrier_sent_by(&number),
                    contact: dial::carrier_contact(&settings, &number),
                    way: Way::to(carrier.target.clone()),
                    from: None,
                    answerer: dial::carrier_answerer(&number),
                };
                (incoming, [of_carrier, of_trunk], number.no_answer)
            }
            Direction::BusinessInitiated => {
                let incoming = Incoming {
                    profile: trunk.profile.clone(),
                    sent_by: dial::ours(&trunk, &flow),
                    contact: dial::trunk_contact(&trunk, &user, &flow),
                    from: dial::home(&trunk, &flow),
                    answerer: dial::trunk_answerer(&trunk),
                    way: match proved {
                        true => Way::back(&flow),
                        false => Way::ByDialog,
                    },
                };
                (incoming, [of_trunk, of_carrier], number.ring_limit)
            }
        };
        let counted = trunk.name.clone();
        let a = SipLeg::uas(cx, Side::A, flow, key, invite, incoming)?;
        Some(Call {
            direction,
            number,
            trunk,
            user,
            inherited,
            caller: flow.id,
            a,
            b: None,
            former: Vec::new(),
            alias,
            others,
            route: VecDeque::new(),
            called: None,
            local: None,
            counted,
            streams,
            insistence: Default::default(),
            signalling: flow.remote.ip(),
            state: State::Preparing {
                until: cx.now + PREPARE_LIMIT,
            },
            media: Media::Open,
            answer_by: cx.now + limit,
            draft,
            called_again: false,
            left: false,
            early: Early::default(),
            running: false,
            present: false,
            recut: [false; 2],
            transfer: None,
            referrals: 0,
            sounding: [None, None],
        })
    }

    /// Looks at leg A's offer and asks for ports. Apart from [`Call::open`], so that a call that
    /// fails here ends like any other: refused, and with a record.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>, offer: &[u8]) {
        let mut networks = [Network::Private; 2];
        networks[self.direction.carrier().index()] = Network::Public;
        let [a, b] = networks;
        cx.media(MediaCommand::Open { a, b });
        self.say(cx, Happened::Began);
        let stream = &mut self.streams[Side::A.index()];
        if let Err(cause) = stream.offered(offer) {
            self.release(cx, cause, ReleasedBy::Us);
        }
    }

    fn leg(&self, side: Side) -> Option<&SipLeg> {
        match side {
            Side::A => Some(&self.a),
            Side::B => self.b.as_ref(),
        }
    }

    fn leg_mut(&mut self, side: Side) -> Option<&mut SipLeg> {
        match side {
            Side::A => Some(&mut self.a),
            Side::B => self.b.as_mut(),
        }
    }

    fn party(&self, side: Side) -> ReleasedBy {
        if side == self.direction.carrier() {
            ReleasedBy::Carrier
        } else {
            ReleasedBy::Pbx
        }
    }

    fn comfort(&self) -> &Comfort {
        &self.trunk.comfort
    }

    fn learn(&mut self, side: Side, headers: &sip::Headers) {
        if side == self.direction.carrier() {
            self.draft.metadata.learn(headers);
        }
    }
}
