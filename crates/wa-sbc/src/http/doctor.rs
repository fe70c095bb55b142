//! `/v1/doctor`: what the doctor's last round found.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Operator, problem};
use crate::records::millis_since_1970;

pub(super) async fn last(State(operator): State<Operator>) -> Response {
    match operator.rounds.last() {
        Some(round) => Json(json!({
            "at_ms": millis_since_1970(round.at),
            "findings": round.findings,
        }))
        .into_response(),
        None => problem(
            404,
            "no round was made yet: see doctor_every in [http], or ask wa-sbc doctor",
        ),
    }
}
