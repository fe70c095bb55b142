//! `/v1/captures`: begun, listed, ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Operator, problem};
use crate::capture::{Status, Wish};
use crate::core_task::Control;

pub(super) async fn begin(State(operator): State<Operator>, Json(wish): Json<Wish>) -> Response {
    let (answer, answered) = oneshot::channel();
    let wish = Box::new(wish);
    operator.control(Control::Capture { wish, answer }).await;
    match answered.await {
        Ok(Ok(status)) => (StatusCode::CREATED, Json(status.json())).into_response(),
        Ok(Err(why)) => problem(422, &why),
        Err(_) => problem(503, "the program is ending"),
    }
}

pub(super) async fn list(State(operator): State<Operator>) -> Response {
    let captures: Vec<Value> = all(&operator).await.iter().map(|one| one.json()).collect();
    Json(json!({ "captures": captures })).into_response()
}

pub(super) async fn show(State(operator): State<Operator>, Path(name): Path<String>) -> Response {
    match find(&operator, &name).await {
        Some(status) => Json(status.json()).into_response(),
        None => problem(404, "no capture has that name"),
    }
}

/// Ends it; what was seen until now is written before it says so.
pub(super) async fn stop(State(operator): State<Operator>, Path(name): Path<String>) -> Response {
    match find(&operator, &name).await {
        Some(status) => {
            status.stop();
            StatusCode::NO_CONTENT.into_response()
        }
        None => problem(404, "no capture has that name"),
    }
}

async fn find(operator: &Operator, name: &str) -> Option<Arc<Status>> {
    let all = all(operator).await;
    all.into_iter().find(|status| status.name == name)
}

async fn all(operator: &Operator) -> Vec<Arc<Status>> {
    let (answer, answered) = oneshot::channel();
    operator.control(Control::Captures(answer)).await;
    answered.await.unwrap_or_default()
}
