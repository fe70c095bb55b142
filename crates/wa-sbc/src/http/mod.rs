//! Metrics, health and the operator's interface over HTTP.
//!
//! ```text
//!  request ─► token? ─► route ─► Operator::ask ─► core task ─► Input::Operator
//!                                     ▲                            │
//!                                     └────── Output::Reply ◄──────┘
//! ```
//!
//! Nothing here touches a call around the core. What every route takes and gives is described in
//! `etc/openapi.json`; a test compares the two.

mod bans;
mod calls;
mod captures;
mod configured;
mod control;
mod doctor;
mod exports;
mod exposition;
mod health;
mod ladders;
mod legs;
mod load;
mod memory;
mod metrics;
mod problems;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use b2bua::operator::{Reply, Wish};
use sip::Secret;
use subtle::ConstantTimeEq;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::acme::Progress;
use crate::capture;
use crate::config::RecordSettings;
use crate::core_task::Control;
use crate::doctor::Rounds;
use crate::hep::HepCounts;
use crate::media::Gauge;
use crate::meters::Meters;
use crate::net::tls;
use crate::observe::{Asked, Told};
use crate::otlp::OtlpCounts;
use crate::records::SinkCounts;
use crate::traced::Traced;

use problems::problem;

/// The interface, described.
const OPENAPI: &str = include_str!("../../../../etc/openapi.json");

/// How long the core may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who reloads, and is told what came of it.
pub(crate) type ReloadReply = oneshot::Sender<Result<(), String>>;

/// What requests are answered from.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pub(crate) node: u16,
    pub(crate) token: Option<Secret<String>>,
    pub(crate) asked: mpsc::Sender<Asked>,
    /// Weak: whoever may speak for ever would keep the core task alive.
    pub(crate) control: mpsc::WeakSender<Control>,
    pub(crate) reload: mpsc::Sender<ReloadReply>,
    pub(crate) events: broadcast::Sender<Arc<Told>>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) traced: Arc<Traced>,
    /// What went to a collector of HEP: nothing where there is none.
    pub(crate) hep: Arc<HepCounts>,
    /// How the orders of certificates go, where they are ordered.
    pub(crate) acme: Option<Arc<Progress>>,
    /// What went to a collector of traces: nothing where there is none.
    pub(crate) otlp: Arc<OtlpCounts>,
    pub(crate) captures: Arc<capture::Counts>,
    pub(crate) rounds: Arc<Rounds>,
    pub(crate) gauges: Arc<[Arc<Gauge>]>,
    pub(crate) sinks: Arc<[Arc<SinkCounts>]>,
    pub(crate) records: RecordSettings,
    pub(crate) certificate_files: Arc<RwLock<Vec<PathBuf>>>,
    pub(crate) listens_for_tls: bool,
    pub(crate) started: SystemTime,
}

impl Operator {
    /// Asks the core. `None` when it does not answer in time.
    async fn ask(&self, wish: Wish) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.asked.send(Asked { wish, reply }).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(PATIENCE, asked).await.ok()?
    }

    /// Tells the owner of the core something; who ends takes the answer's sender with it.
    async fn control(&self, control: Control) {
        if let Some(sender) = self.control.upgrade() {
            let _ = sender.send(control).await;
        }
    }

    /// Has the core do something.
    async fn act(&self, wish: Wish, unknown: &str) -> Response {
        match self.ask(wish).await {
            Some(Reply::Done) => StatusCode::NO_CONTENT.into_response(),
            Some(Reply::Unknown) => problem(404, unknown),
            _ => problem(503, "the core does not answer"),
        }
    }

    /// Our certificates, and until when they are valid.
    fn certificates(&self) -> Vec<(String, Option<SystemTime>)> {
        let files = self
            .certificate_files
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let valid = |path: &PathBuf| {
            let until = tls::not_after(path).ok().flatten();
            (path.display().to_string(), until)
        };
        files.iter().map(valid).collect()
    }
}

/// Method, path, and who answers.
type Route = (&'static str, &'static str, MethodRouter<Operator>);

/// Needs no token.
fn open_routes() -> Vec<Route> {
    vec![
        ("get", "/livez", get(health::livez)),
        ("get", "/readyz", get(health::readyz)),
    ]
}

fn guarded_routes() -> Vec<Route> {
    vec![
        ("get", "/metrics", get(metrics::metrics)),
        ("get", "/openapi.json", get(openapi)),
        ("get", "/v1/status", get(control::status)),
        ("put", "/v1/drain", put(control::drain)),
        ("post", "/v1/reload", post(control::reload)),
        ("get", "/v1/log", get(control::log_filter)),
        ("put", "/v1/log", put(control::set_log_filter)),
        ("put", "/v1/log/calls/{id}", put(control::trace_call)),
        ("delete", "/v1/log/calls/{id}", delete(control::leave_call)),
        (
            "put",
            "/v1/log/numbers/{number}",
            put(control::trace_number),
        ),
        (
            "delete",
            "/v1/log/numbers/{number}",
            delete(control::leave_number),
        ),
        ("get", "/v1/calls", get(calls::list)),
        ("get", "/v1/calls/{id}", get(calls::show)),
        ("delete", "/v1/calls/{id}", delete(calls::hang_up)),
        ("get", "/v1/calls/{id}/ladder", get(ladders::of_call)),
        ("get", "/v1/ladders", get(ladders::find)),
        ("get", "/v1/captures", get(captures::list)),
        ("post", "/v1/captures", post(captures::begin)),
        ("get", "/v1/captures/{name}", get(captures::show)),
        ("delete", "/v1/captures/{name}", delete(captures::stop)),
        ("get", "/v1/doctor", get(doctor::last)),
        ("get", "/v1/bans", get(bans::list)),
        ("put", "/v1/bans/{address}", put(bans::ban)),
        ("delete", "/v1/bans/{address}", delete(bans::lift)),
        ("get", "/v1/records", get(calls::records)),
        ("get", "/v1/events", get(calls::events)),
        ("get", "/v1/numbers", get(configured::numbers)),
        (
            "put",
            "/v1/numbers/{number}/service",
            put(configured::serve_number),
        ),
        ("get", "/v1/trunks", get(configured::trunks)),
        (
            "put",
            "/v1/trunks/{name}/service",
            put(configured::serve_trunk),
        ),
    ]
}

/// Binds the port. Whoever holds the listener serves with [`serve`].
pub(crate) async fn bind(listen: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(listen).await
}

/// Serves until aborted.
pub(crate) async fn serve(listener: tokio::net::TcpListener, operator: Operator) {
    if let Err(error) = axum::serve(listener, router(operator)).await {
        tracing::error!(%error, "the HTTP port is gone");
    }
}

fn router(operator: Operator) -> Router {
    let add = |router: Router<Operator>, (_, path, answer): Route| router.route(path, answer);
    let guarded = guarded_routes()
        .into_iter()
        .fold(Router::new(), add)
        .layer(middleware::from_fn_with_state(operator.clone(), guard));
    open_routes()
        .into_iter()
        .fold(guarded, add)
        .fallback(|| async { problem(404, "there is nothing here: see /openapi.json") })
        .layer(middleware::map_response(problems::told))
        .with_state(operator)
}

/// Lets a request through that brings the token.
async fn guard(State(operator): State<Operator>, request: Request, next: Next) -> Response {
    if let Some(token) = &operator.token {
        let brought = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if !bool::from(brought.as_bytes().ct_eq(token.expose().as_bytes())) {
            return problem(401, "bring the token: Authorization: Bearer …");
        }
    }
    next.run(request).await
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[cfg(test)]
mod deaf_tests;
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_describes_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("methods").keys();
                methods
                    .filter(|key| *key != "parameters")
                    .map(|method| (method.clone(), path.clone()))
            })
            .collect();
        let routes = open_routes().into_iter().chain(guarded_routes());
        let routed: BTreeSet<_> = routes
            .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
            .collect();
        assert_eq!(described, routed);
        for (path, methods) in paths {
            for name in path
                .split('{')
                .skip(1)
                .filter_map(|rest| rest.split('}').next())
            {
                let parameters = methods["parameters"].as_array().expect("parameters");
                assert!(
                    parameters.iter().any(|parameter| parameter["name"] == name),
                    "{path}: {name}"
                );
            }
        }
    }
}
