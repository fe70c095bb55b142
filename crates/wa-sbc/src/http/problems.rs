//! What is wrong, always said in one form: `{"error": "in plain words"}`.

use axum::Json;
use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The longest explanation that is passed on.
const LONGEST: usize = 4096;

/// An answer that says what is wrong.
pub(super) fn problem(status: u16, why: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({ "error": why }))).into_response()
}

/// The same of answers that are not ours: those about a path, a method, a question or a body nobody of ours has seen.
pub(super) async fn told(response: Response) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, LONGEST).await.unwrap_or_default();
    let why = match String::from_utf8_lossy(&body) {
        empty if empty.is_empty() => match status {
            StatusCode::METHOD_NOT_ALLOWED => "not with that method: see /openapi.json".into(),
            _ => status.canonical_reason().unwrap_or_default().into(),
        },
        words => words,
    };
    let mut answer = problem(status.as_u16(), &why);
    for (name, value) in &head.headers {
        // `Allow`, for one.
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}
