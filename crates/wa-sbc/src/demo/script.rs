//! One call of the demo, from the first INVITE to the record.

use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::cast::{Cast, Said, Who};
use super::ladder::Rung;

/// Ringing and answering.
const ANSWER: Duration = Duration::from_secs(10);
/// From hanging up to the last word of everybody.
const FAREWELL: Duration = Duration::from_secs(8);

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The WhatsApp user calls, and hangs up.
    UserCalls,
    /// The desk calls, and hangs up.
    DeskCalls,
}

impl Direction {
    pub(super) fn title(self) -> &'static str {
        match self {
            Direction::UserCalls => "── A WhatsApp user calls the business, and hangs up ──",
            Direction::DeskCalls => "── The desk calls the WhatsApp user, and hangs up ──",
        }
    }

    /// The end that calls and hangs up.
    pub(super) fn caller(self) -> Who {
        match self {
            Direction::UserCalls => Who::Meta,
            Direction::DeskCalls => Who::Pbx,
        }
    }
}

/// What became of a call.
pub(super) struct Call {
    pub(super) direction: Direction,
    /// Every message, as the SBC saw it.
    pub(super) rungs: Vec<Rung>,
    /// The record of the call.
    pub(super) record: Said,
    said: Vec<Said>,
}

impl Call {
    /// Places a call, lets it talk, hangs up, waits until everybody has said the last word.
    pub(super) async fn place(
        cast: &mut Cast,
        direction: Direction,
        talk: Duration,
    ) -> Result<Call, DemoError> {
        let start = crate::clock::now();
        let ends = [Who::Meta, Who::Pbx];
        cast.type_at(direction.caller(), "call").await;
        let mut waiting = ends.to_vec();
        let mut said = cast
            .until("both ends to be connected", ANSWER, |said| {
                waiting.retain(|who| !said.is(*who, "answered"));
                waiting.is_empty()
            })
            .await?;
        said.extend(cast.during(talk).await?);
        cast.type_at(direction.caller(), "hangup").await;
        let mut waiting = ends.to_vec();
        let mut recorded = false;
        said.extend(
            cast.until(
                "the end of the call on both ends, and its record",
                FAREWELL,
                |said| {
                    waiting.retain(|who| !said.is(*who, "ended"));
                    recorded |= said.who == Who::Record;
                    waiting.is_empty() && recorded
                },
            )
            .await?,
        );
        // The answers to the last BYE are still on their way to the log.
        said.extend(cast.during(Duration::from_millis(300)).await?);
        let rungs = said
            .iter()
            .filter_map(|said| Rung::of(start, said))
            .collect();
        let record = said.iter().find(|said| said.who == Who::Record).cloned();
        let record = record.expect("the wait above ended with a record");
        Ok(Call {
            direction,
            rungs,
            record,
            said,
        })
    }

    /// An event of an end.
    pub(super) fn event(&self, who: Who, event: &str) -> Option<&Value> {
        self.said
            .iter()
            .find(|said| said.is(who, event))
            .map(|said| &said.what)
    }

    /// All events of a kind of an end.
    pub(super) fn events(&self, who: Who, event: &str) -> impl Iterator<Item = &Value> {
        self.said
            .iter()
            .filter(move |said| said.is(who, event))
            .map(|said| &said.what)
    }
}
