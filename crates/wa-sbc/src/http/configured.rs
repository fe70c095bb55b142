//! `/v1/numbers`, `/v1/trunks`: how they are, and in or out of service.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use b2bua::operator::{NumberState, Reply, TrunkState, Wish};
use b2bua::{E164, Service, Subject};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Operator, problem};

pub(super) async fn numbers(State(operator): State<Operator>) -> Response {
    let shares = operator.meters.read().answers;
    let show = |number: &NumberState| {
        let e164 = number.e164.plus();
        json!({
            "answer_ratio": shares.get(&e164).and_then(|answers| answers.share()),
            "number": e164,
            "trunk": &*number.trunk,
            "service": number.service.label(),
            "calls": number.calls.0,
            "calls_limit": number.calls.1,
            "initiated_day": number.initiated.0,
            "initiated_day_limit": number.initiated.1,
        })
    };
    match operator.ask(Wish::Numbers).await {
        Some(Reply::Numbers(numbers)) => {
            let numbers: Vec<Value> = numbers.iter().map(show).collect();
            Json(json!({ "numbers": numbers })).into_response()
        }
        _ => problem(503, "the core does not answer"),
    }
}

pub(super) async fn trunks(State(operator): State<Operator>) -> Response {
    let show = |trunk: &TrunkState| {
        let destinations: Vec<Value> = trunk
            .destinations
            .iter()
            .map(|destination| json!({ "target": destination.target, "alive": destination.alive }))
            .collect();
        let registration = trunk.registration.as_ref().map(|registration| {
            json!({
                "state": registration.state,
                "server": registration.server,
                "seconds_left": registration.left.map(|left| left.as_secs()),
                "trouble": registration.trouble,
            })
        });
        json!({
            "registration": registration,
            "contacts": trunk.contacts,
            "trunk": &*trunk.name,
            "service": trunk.service.label(),
            "calls": trunk.calls.0,
            "calls_limit": trunk.calls.1,
            "destinations": destinations,
        })
    };
    match operator.ask(Wish::Trunks).await {
        Some(Reply::Trunks(trunks)) => {
            let trunks: Vec<Value> = trunks.iter().map(show).collect();
            Json(json!({ "trunks": trunks })).into_response()
        }
        _ => problem(503, "the core does not answer"),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    In,
    BusyOut,
    Out,
}

/// `{"service": "in" | "busy_out" | "out"}`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Serve {
    service: Wanted,
}

impl Serve {
    fn wish(self, subject: Subject) -> Wish {
        let service = match self.service {
            Wanted::In => Service::In,
            Wanted::BusyOut => Service::BusyOut,
            Wanted::Out => Service::Out,
        };
        Wish::Serve(subject, service)
    }
}

pub(super) async fn serve_number(
    State(operator): State<Operator>,
    Path(number): Path<String>,
    Json(serve): Json<Serve>,
) -> Response {
    match E164::parse(&number) {
        Some(e164) => {
            operator
                .act(serve.wish(Subject::Number(e164)), "no such number")
                .await
        }
        None => problem(404, "no such number"),
    }
}

pub(super) async fn serve_trunk(
    State(operator): State<Operator>,
    Path(name): Path<String>,
    Json(serve): Json<Serve>,
) -> Response {
    let subject = Subject::Trunk(name.as_str().into());
    operator.act(serve.wish(subject), "no such trunk").await
}
