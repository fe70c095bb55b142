//! `/livez`: the program does its work. `/readyz`: it may be sent calls.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use b2bua::operator::{Reply, Wish};
use serde_json::{Value, json};

use super::{Operator, problem};
use crate::clock;

/// Alive: the core answers.
pub(super) async fn livez(State(operator): State<Operator>) -> Response {
    let alive = operator.ask(Wish::Status).await.is_some();
    answer(alive, json!({ "core": alive }))
}

/// Ready: every check holds.
pub(super) async fn readyz(State(operator): State<Operator>) -> Response {
    let (status, trunks) = (
        operator.ask(Wish::Status).await,
        operator.ask(Wish::Trunks).await,
    );
    let (Some(Reply::Status(status)), Some(Reply::Trunks(trunks))) = (status, trunks) else {
        return problem(503, "the core does not answer");
    };
    let now = clock::wall();
    let expired: Vec<String> = operator
        .certificates()
        .into_iter()
        .filter(|(_, until)| !valid(*until, now))
        .map(|(path, _)| path)
        .collect();
    let dead: Vec<&str> = trunks
        .iter()
        .filter(|trunk| {
            trunk
                .destinations
                .iter()
                .all(|destination| !destination.alive)
        })
        .map(|trunk| &*trunk.name)
        .collect();
    let unregistered: Vec<&str> = trunks
        .iter()
        .filter(|trunk| {
            let ours = trunk.registration.as_ref();
            ours.is_some_and(|ours| ours.state != "registered") || trunk.contacts == Some(0)
        })
        .map(|trunk| &*trunk.name)
        .collect();
    let none_alive = !trunks.is_empty() && dead.len() == trunks.len();
    let ready = !status.draining && expired.is_empty() && operator.listens_for_tls && !none_alive;
    let round = operator.rounds.last();
    let doctor = round.map(|round| round.worst());
    let acme = operator
        .acme
        .as_ref()
        .map(|acme| json!({ "failures_in_a_row": acme.failures(), "next_order": acme.next() }));
    answer(
        ready,
        json!({
            "doctor": doctor,
            "ready": ready,
            "draining": status.draining,
            "listening": operator.listens_for_tls,
            "certificates_not_valid": expired,
            "certificate_orders": acme,
            "trunks_without_a_living_destination": dead,
            "trunks_not_registered": unregistered,
            "calls": status.calls.0,
        }),
    )
}

fn valid(until: Option<SystemTime>, now: SystemTime) -> bool {
    until.is_some_and(|until| now < until)
}

fn answer(fine: bool, body: Value) -> Response {
    let status = if fine {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body)).into_response()
}
