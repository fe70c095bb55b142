//! `/v1/status`, `/v1/drain`, `/v1/reload`, `/v1/log`: the program as a whole.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use b2bua::operator::{Reply, Wish};
use b2bua::{CallId, E164};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Operator, problem};
use crate::log;

pub(super) async fn status(State(operator): State<Operator>) -> Response {
    match operator.ask(Wish::Status).await {
        Some(Reply::Status(status)) => Json(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "calls": status.calls.0,
            "calls_limit": status.calls.1,
            "draining": status.draining,
            "invites": status.counters.invites,
            "challenges": status.counters.challenges,
            "admitted": status.counters.admitted,
            "refused": status.counters.refused,
            "ended": status.counters.ended,
        }))
        .into_response(),
        _ => problem(503, "the core does not answer"),
    }
}

/// `{"draining": true | false}`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    draining: bool,
}

pub(super) async fn drain(State(operator): State<Operator>, Json(drain): Json<Drain>) -> Response {
    tracing::warn!(
        draining = drain.draining,
        "the operator says whether new calls are taken"
    );
    operator.act(Wish::Drain(drain.draining), "").await
}

/// Reads the configuration again, as SIGHUP does, and says what came of it.
pub(super) async fn reload(State(operator): State<Operator>) -> Response {
    let (reply, answer) = oneshot::channel();
    if operator.reload.send(reply).await.is_err() {
        return problem(503, "the program is ending");
    }
    match answer.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(why)) => problem(422, &why),
        Err(_) => problem(503, "the program is ending"),
    }
}

/// `{"filter": "info"}`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    filter: String,
}

pub(super) async fn log_filter(State(operator): State<Operator>) -> Response {
    let (calls, numbers) = operator.traced.who();
    let numbers: Vec<String> = numbers.iter().map(E164::plus).collect();
    Json(json!({ "filter": log::filter(), "calls": calls, "numbers": numbers })).into_response()
}

pub(super) async fn set_log_filter(Json(filter): Json<Filter>) -> Response {
    match log::set_filter(&filter.filter) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => problem(422, &why),
    }
}

pub(super) async fn trace_call(State(operator): State<Operator>, Path(id): Path<u64>) -> Response {
    match operator.ask(Wish::Call(CallId(id))).await {
        Some(Reply::Calls(calls)) if calls.is_empty() => problem(404, "no such call at the moment"),
        Some(_) => {
            operator.traced.call(id, true);
            StatusCode::NO_CONTENT.into_response()
        }
        None => problem(503, "the core does not answer"),
    }
}

pub(super) async fn leave_call(State(operator): State<Operator>, Path(id): Path<u64>) -> Response {
    match operator.traced.call(id, false) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => problem(404, "nobody traces that call"),
    }
}

pub(super) async fn trace_number(
    State(operator): State<Operator>,
    Path(number): Path<String>,
) -> Response {
    trace(&operator, &number, true)
}

pub(super) async fn leave_number(
    State(operator): State<Operator>,
    Path(number): Path<String>,
) -> Response {
    trace(&operator, &number, false)
}

fn trace(operator: &Operator, number: &str, on: bool) -> Response {
    match E164::parse(number) {
        Some(e164) => {
            operator.traced.number(e164, on);
            StatusCode::NO_CONTENT.into_response()
        }
        None => problem(404, "that is no number"),
    }
}
