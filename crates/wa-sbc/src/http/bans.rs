//! `/v1/bans`: who is shut out, and for how long.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use b2bua::Source;
use b2bua::operator::{Reply, Wish};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Operator, problem};

/// The longest ban: a year.
const LONGEST: u64 = 365 * 24 * 3_600;

/// `{"seconds": 3600}`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ban {
    seconds: u64,
}

pub(super) async fn list(State(operator): State<Operator>) -> Response {
    match operator.ask(Wish::Bans).await {
        Some(Reply::Bans(bans)) => {
            let bans: Vec<Value> = bans
                .iter()
                .map(|(source, left)| {
                    json!({ "source": source.to_string(), "seconds_left": left.as_secs() })
                })
                .collect();
            Json(json!({ "bans": bans })).into_response()
        }
        _ => problem(503, "the core does not answer"),
    }
}

pub(super) async fn ban(
    State(operator): State<Operator>,
    Path(address): Path<IpAddr>,
    Json(ban): Json<Ban>,
) -> Response {
    let time = Duration::from_secs(ban.seconds.clamp(1, LONGEST));
    match operator.ask(Wish::Ban(address, time)).await {
        Some(Reply::Done) => StatusCode::NO_CONTENT.into_response(),
        Some(Reply::Unknown) => problem(
            409,
            "Meta, trunks and admission.spared are never banned: take the trunk out of service instead",
        ),
        _ => problem(503, "the core does not answer"),
    }
}

pub(super) async fn lift(
    State(operator): State<Operator>,
    Path(address): Path<IpAddr>,
) -> Response {
    operator
        .act(Wish::Unban(Source::of(address)), "nobody there is banned")
        .await
}
