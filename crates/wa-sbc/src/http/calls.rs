//! `/v1/calls`, `/v1/records`, `/v1/events`: what goes on and what went on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use b2bua::CallId;
use b2bua::operator::{Reply, Running, Wish};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};

use super::{Operator, problem};
use crate::observe::Told;
use crate::records::{Question, facts, read, wanted_number};

/// The most records in one answer.
const MOST: usize = 1_000;

pub(super) async fn list(State(operator): State<Operator>) -> Response {
    match operator.ask(Wish::Calls).await {
        Some(Reply::Calls(calls)) => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|call| running(operator.node, call))
                .collect();
            Json(json!({ "calls": calls })).into_response()
        }
        _ => problem(503, "the core does not answer"),
    }
}

pub(super) async fn show(State(operator): State<Operator>, Path(id): Path<u64>) -> Response {
    match operator.ask(Wish::Call(CallId(id))).await {
        Some(Reply::Calls(calls)) => match calls.first() {
            Some(call) => Json(running(operator.node, call)).into_response(),
            None => problem(404, "no such call at the moment"),
        },
        _ => problem(503, "the core does not answer"),
    }
}

pub(super) async fn hang_up(State(operator): State<Operator>, Path(id): Path<u64>) -> Response {
    operator
        .act(Wish::HangUp(CallId(id)), "no such call at the moment")
        .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    last: Option<usize>,
    number: Option<String>,
    wacid: Option<String>,
    cause: Option<String>,
}

pub(super) async fn records(
    State(operator): State<Operator>,
    Query(asked): Query<Asked>,
) -> Response {
    let number = asked.number.as_deref().map(wanted_number);
    if number == Some(None) {
        return problem(422, "that is no number, and no id of a user");
    }
    let question = Question {
        last: asked.last.unwrap_or(20).min(MOST),
        number: number.flatten(),
        reference: asked.wacid,
        cause: asked.cause,
    };
    let settings = operator.records.clone();
    let found = tokio::task::spawn_blocking(move || read(&settings, &question)).await;
    match found {
        Ok(Some(Ok(lines))) => {
            let records: Vec<Value> = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            Json(json!({ "records": records })).into_response()
        }
        Ok(Some(Err(error))) => problem(500, &error.to_string()),
        Ok(None) => problem(
            404,
            "no calls are recorded: set sqlite or file in [records]",
        ),
        Err(_) => problem(500, "reading records failed"),
    }
}

/// Server-sent events: one for every step of every call from now on. Who reads too slowly misses some.
pub(super) async fn events(
    State(operator): State<Operator>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let told = BroadcastStream::new(operator.events.subscribe());
    let events = told.filter_map(|told: Result<Arc<Told>, _>| {
        let told = told.ok()?;
        Some(Ok(Event::default().event(told.happened).data(&told.data)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn running(node: u16, call: &Running) -> Value {
    let mut value = facts(node, &call.facts);
    value["phase"] = call.phase.into();
    value
}
