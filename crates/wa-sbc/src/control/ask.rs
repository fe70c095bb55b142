//! What can be asked over the control socket.

use serde::{Deserialize, Serialize};

/// One question, one line of JSON.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// The ladders of the calls with a Call-ID, Meta's id or a number, newest first.
    Ladder {
        /// Which call.
        query: String,
        /// All of them, not only the newest.
        all: bool,
        /// As SVG.
        svg: bool,
        /// Every message in full.
        messages: bool,
        /// With keys and digest answers.
        secrets: bool,
    },
}
