//! `/v1/ladders`, `/v1/calls/{id}/ladder`: what happened in a call, as text, SVG or JSON. Keys and digest
//! answers are in none of them.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use b2bua::CallId;
use serde::Deserialize;
use serde_json::{Value, json};
use sim::ladder::label;
use tokio::sync::oneshot;

use super::{Operator, problem};
use crate::core_task::Control;
use crate::records::millis_since_1970;
use crate::trace::{Manner, Seen, Story, What, draw, redacted};

/// In which form.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    #[default]
    Text,
    Svg,
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// A Call-ID, Meta's id, or a number.
    of: String,
    #[serde(default)]
    form: Form,
    /// With every message in full.
    #[serde(default)]
    messages: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    #[serde(default)]
    form: Form,
    #[serde(default)]
    messages: bool,
}

/// The newest call somebody asks for.
pub(super) async fn find(State(operator): State<Operator>, Query(asked): Query<Asked>) -> Response {
    let (answer, answered) = oneshot::channel();
    let query = asked.of;
    operator.control(Control::Find { query, answer }).await;
    let stories = answered.await.unwrap_or_default();
    shown(stories.first(), asked.form, asked.messages)
}

/// A call of ours, running or remembered.
pub(super) async fn of_call(
    State(operator): State<Operator>,
    Path(id): Path<u64>,
    Query(Shown { form, messages }): Query<Shown>,
) -> Response {
    let (answer, answered) = oneshot::channel();
    let call = CallId(id);
    operator.control(Control::Story { call, answer }).await;
    shown(answered.await.ok().flatten().as_ref(), form, messages)
}

fn shown(story: Option<&Story>, form: Form, messages: bool) -> Response {
    let Some(story) = story else {
        return problem(404, "no call remembered has that Call-ID, wacid or number");
    };
    let manner = Manner {
        svg: matches!(form, Form::Svg),
        messages,
        secrets: false,
    };
    let kind = match form {
        Form::Text => "text/plain; charset=utf-8",
        Form::Svg => "image/svg+xml",
        Form::Json => return Json(steps(story, messages)).into_response(),
    };
    ([(CONTENT_TYPE, kind)], draw(story, manner)).into_response()
}

fn steps(story: &Story, messages: bool) -> Value {
    let step = |seen: &Seen| {
        let mut step = json!({ "at_ms": millis_since_1970(seen.at) });
        match &seen.what {
            What::Message(crossed) => {
                let shown = String::from_utf8_lossy(&redacted(&crossed.bytes)).into_owned();
                step["leg"] = crossed.gap.label().into();
                step["way"] = if crossed.inward { "in" } else { "out" }.into();
                step["transport"] = crossed.transport.param().into();
                step["remote"] = crossed.remote.to_string().into();
                step["label"] = label(&shown).into();
                if messages {
                    step["message"] = shown.into();
                }
            }
            What::Fact { gap, text } => {
                step["leg"] = gap.map(|gap| gap.label()).into();
                step["fact"] = text.as_str().into();
            }
        }
        step
    };
    let legs = story.legs.iter().map(|(side, call_id)| {
        json!({
            "call_id": call_id,
            "leg": story.carrier.map(|carrier| if carrier == *side { "carrier" } else { "pbx" }),
        })
    });
    json!({
        "id": story.call.map(|call| call.0),
        "legs": legs.collect::<Vec<_>>(),
        "left_out": story.left_out,
        "steps": story.seen.iter().map(step).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use sdp::Side;

    use super::*;
    use crate::trace::{Crossed, Gap};

    #[test]
    fn the_steps_of_a_story_say_who_said_what_and_keep_its_secrets() {
        let message =
            "INVITE sip:x SIP/2.0\r\nProxy-Authorization: Digest response=\"abcdef\"\r\n\r\n";
        let story = Story {
            call: Some(CallId(7)),
            legs: vec![(Side::A, "one".into())],
            carrier: Some(Side::A),
            seen: [
                Seen {
                    at: UNIX_EPOCH + Duration::from_millis(5),
                    what: What::Message(Crossed {
                        inward: true,
                        gap: Gap::Carrier,
                        transport: sip::Transport::Tls,
                        local: ([203, 0, 113, 1], 5061).into(),
                        remote: ([203, 0, 113, 9], 40_000).into(),
                        bytes: message.into(),
                    }),
                },
                Seen {
                    at: UNIX_EPOCH,
                    what: What::Fact {
                        gap: None,
                        text: "ended".into(),
                    },
                },
            ]
            .into(),
            left_out: 0,
        };
        let told = steps(&story, true);
        assert_eq!(
            told["legs"][0],
            json!({ "call_id": "one", "leg": "carrier" })
        );
        assert_eq!(told["steps"][0]["at_ms"], 5);
        assert_eq!(told["steps"][0]["way"], "in");
        assert_eq!(told["steps"][1]["fact"], "ended");
        let text = told.to_string();
        assert!(
            text.contains("INVITE") && !text.contains("abcdef"),
            "{text}"
        );
        assert!(steps(&story, false)["steps"][0].get("message").is_none());
    }
}
