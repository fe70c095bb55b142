//! What the authority asks to see on port 80 (RFC 8555 §8.3), for as long as it asks.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::task::AbortHandle;

/// What a token nobody gave us gets, so that the doctor knows us from another program.
pub(crate) const NOBODY: &str = "wa-sbc knows no such challenge";

/// Token to key authorization.
type Answers = Arc<Mutex<BTreeMap<String, String>>>;

/// An open port. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Responder {
    answers: Answers,
    task: AbortHandle,
}

impl Responder {
    pub(super) async fn open(listen: SocketAddr) -> io::Result<Responder> {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let answers = Answers::default();
        let routes = Router::new()
            .route("/.well-known/acme-challenge/{token}", get(answer))
            .with_state(answers.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::warn!(%error, "the port of the challenge broke");
            }
        });
        Ok(Responder {
            answers,
            task: task.abort_handle(),
        })
    }

    /// From now on this token is answered so.
    pub(super) fn say(&self, token: &str, key_authorization: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), key_authorization.to_owned());
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(answers): State<Answers>,
    Path(token): Path<String>,
) -> Result<String, (StatusCode, &'static str)> {
    let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = answers.get(&token).cloned();
    answer.ok_or((StatusCode::NOT_FOUND, NOBODY))
}
