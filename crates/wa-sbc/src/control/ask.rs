//! What can be asked over the control socket.

use serde::{Deserialize, Serialize};

use crate::capture::Wish;

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
    /// A capture, until the connection is closed.
    Capture {
        /// Of what.
        wish: Wish,
        /// Goes on when the connection is closed.
        detach: bool,
    },
    /// The captures that run, and the last ones that ran.
    Captures {
        /// As JSON.
        json: bool,
    },
    /// End a capture.
    StopCapture {
        /// Its name.
        name: String,
    },
}
