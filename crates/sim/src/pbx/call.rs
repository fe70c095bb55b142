//! One call as the PBX keeps it.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use sdp::Codec;
use sip::{ClientKey, Dialog, FlowId, Request, Response, ServerKey};

use super::description::Far;
use super::knobs::PbxScript;
use super::midcall::Reliable;
use super::secrecy::Keys;
use crate::meta::knobs::Talk;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Our INVITE is out.
    Inviting,
    /// We ring.
    Ringing,
    /// Our 200 is out, the ACK is not in.
    Answered,
    /// Both is done.
    Talking,
    /// Our BYE is out.
    Releasing,
    /// Nothing more is sent.
    Over,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: u32,
    pub(super) phase: Phase,
    pub(super) invite: Request,
    pub(super) flow: FlowId,
    pub(super) client: Option<ClientKey>,
    pub(super) server: Option<ServerKey>,
    pub(super) dialog: Option<Dialog>,
    /// Our To tag when called.
    pub(super) tag: String,
    pub(super) answer: Option<Response>,
    pub(super) ack: Option<Bytes>,
    pub(super) session: u32,
    pub(super) version: u32,
    pub(super) address: SocketAddr,
    pub(super) keys: Keys,
    pub(super) far: Option<Far>,
    pub(super) codec: Option<(u8, Codec)>,
    pub(super) direction: &'static str,
    pub(super) give_up: bool,
    /// We asked for an offer in mid-call; our ACK answers it.
    pub(super) offerless: bool,
    /// The last RSeq we acknowledged.
    pub(super) rseq: Option<String>,
    /// We require reliable responses and acknowledge none.
    pub(super) never_pracks: bool,
    pub(super) reliable: Option<Reliable>,
    /// What the far side's next refreshes get, last first.
    pub(super) refresh_refusals: Vec<u16>,
    pub(super) script: Option<PbxScript>,
    pub(super) talk: Talk,
    pub(super) started: Instant,
    pub(super) answered: Option<Instant>,
    pub(super) confirmed: bool,
    pub(super) violations: u32,
    pub(super) status: u16,
}
