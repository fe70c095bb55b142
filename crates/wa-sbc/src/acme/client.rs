//! The HTTP client of the house, for the ACME library: one TLS, one set of authorities.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use ureq::Agent;

use crate::config::AcmeSettings;
use crate::net::agent::agent;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read: a chain of certificates is a few kilobytes.
const LONGEST: usize = 1 << 20;

/// Sends requests, each on a thread that may wait.
pub(super) struct Client(Agent);

impl Client {
    pub(super) fn new(settings: &AcmeSettings) -> std::io::Result<Client> {
        agent(settings.authority.as_deref(), PATIENCE, "[acme]").map(Client)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let agent = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(Body::new(body), LONGEST).await.map_err(other)?;
            let asked = tokio::task::spawn_blocking(move || ask(&agent, head, &body));
            asked.await.map_err(other)?.map_err(other)
        })
    }
}

fn ask(
    agent: &Agent,
    head: axum::http::request::Parts,
    body: &[u8],
) -> Result<BytesResponse, ureq::Error> {
    let answer = match body.is_empty() {
        true => agent.run(Request::from_parts(head, ())),
        false => agent.run(Request::from_parts(head, body)),
    }?;
    let (head, mut body) = answer.into_parts();
    let bytes = body.with_config().limit(LONGEST as u64).read_to_vec()?;
    Ok(Response::from_parts(head, Body::from(bytes)).into())
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}
