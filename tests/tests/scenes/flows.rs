//! The pages under `docs/flows`, written from real runs. A page that no longer tells the truth fails
//! here; `UPDATE_DOCS=1 make scenes` writes it anew.

use std::path::Path;

use sim::ladder::Page;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

/// Compares a page with the one in the repository, or renews it.
fn page_is_true(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/flows")
        .join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory"))
            .expect("docs/flows can be made");
        std::fs::write(&path, text).expect("the page can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        there == text,
        "docs/flows/{name} is stale from line {:?} on; UPDATE_DOCS=1 make scenes renews it\n{text}",
        differs.map(|line| line + 1)
    );
}

/// What both ends heard, and what the record says.
fn outcome(story: &Story<'_>) -> Vec<String> {
    let record = story.record();
    let heard = |party, who: &str| {
        let heard = story.heard(party);
        format!(
            "{who} heard the other's tone {:.0} dB off its level, with {} gaps above 40 ms, from {} SSRC",
            heard.level_error_db.abs(),
            heard.tone_gaps,
            heard.ssrcs
        )
    };
    let codecs: Vec<&str> = record
        .legs
        .iter()
        .flatten()
        .map(|leg| leg.codec.name())
        .collect();
    vec![
        heard(Meta, "The user"),
        heard(Pbx, "The agent"),
        format!(
            "The record: {}, {} to {}, cause {}, released by {}, {} s",
            record.direction.label(),
            codecs.first().copied().unwrap_or_default(),
            codecs.last().copied().unwrap_or_default(),
            record.cause,
            record.released_by.label(),
            record.duration.as_secs()
        ),
    ]
}

#[test]
fn the_page_about_users_who_call_is_true() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(2)));
    let mut call = user().hanging_up_after(secs(5));
    call.display = Some("Zoë".into());
    call.cta_payload = Some("order=ON-12853".into());
    world.user_calls(call);
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let outcome = outcome(&story);
    let page = world.page(&Page {
        title: "A WhatsApp user calls the business",
        about: "A run of the scene `flows::the_page_about_users_who_call_is_true`, written by it: the real core and \
            media engine between the simulated Meta (20 ms away, TLS) and a PBX (1 ms, UDP), in virtual time. Whatever \
            is drawn by lot (tags, branches, nonces, keys) has a name here instead of its value.\n\n\
            Meta is challenged and comes back with credentials; the PBX is called; its 200 becomes ours, with Meta's \
            two Record-Routes byte for byte; our first SRTP packet leaves right behind it, because Meta waits for it. \
            Meta's BYE comes over a connection of its own.",
        outcome: &outcome,
        messages: &[
            (
                "Our challenge. One, MD5; the To tag is of no dialog:",
                Sbc,
                Meta,
                "SIP/2.0 407",
            ),
            (
                "Meta's INVITE with credentials: three Vias with routes between them, a digest `uri` without \
                 `;transport=tls`:",
                Meta,
                Sbc,
                "INVITE",
            ),
            (
                "Our INVITE to the PBX: plain RTP, and what Meta told about the call:",
                Sbc,
                Pbx,
                "INVITE",
            ),
            (
                "Our 200 to Meta: every Via and Record-Route as it came, our own key, Meta's payload types:",
                Sbc,
                Meta,
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 31.13.66.215:5061",
            ),
            (
                "Meta's BYE, with the duration it counted:",
                Meta,
                Sbc,
                "BYE",
            ),
        ],
    });
    page_is_true("user-calls-business.md", &page);
}

#[test]
fn the_page_about_businesses_that_call_is_true() {
    let mut world = world();
    world.meta.script(user_answers(secs(3)));
    world.agent_calls(agent().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let outcome = outcome(&story);
    let page = world.page(&Page {
        title: "The business calls a WhatsApp user",
        about: "A run of the scene `flows::the_page_about_businesses_that_call_is_true`, written by it: the real core \
            and media engine between the simulated Meta (20 ms away, TLS) and a PBX (1 ms, UDP), in virtual time. \
            Whatever is drawn by lot (tags, branches, nonces, keys) has a name here instead of its value.\n\n\
            Meta challenges with SHA-256 and MD5 at once; the first we know is answered on the same connection. \
            ACK and BYE carry Meta's two routes, turned round, and its Contact letter for letter.",
        outcome: &outcome,
        messages: &[
            (
                "The PBX's INVITE, as it comes:",
                Pbx,
                Sbc,
                "INVITE",
            ),
            (
                "Meta's challenge; its To tag is our branch:",
                Meta,
                Sbc,
                "SIP/2.0 407",
            ),
            (
                "Our INVITE with credentials: Request-URI, To and digest `uri` are one value:",
                Sbc,
                Meta,
                "INVITE",
            ),
            (
                "Our ACK to Meta's 200, along the route set:",
                Sbc,
                Meta,
                "ACK",
            ),
            (
                "Our 200 to the PBX:",
                Sbc,
                Pbx,
                "SIP/2.0 200",
            ),
            (
                "Our BYE to Meta:",
                Sbc,
                Meta,
                "BYE",
            ),
        ],
    });
    page_is_true("business-calls-user.md", &page);
}

#[test]
fn the_same_seed_tells_the_same_story_letter_by_letter() {
    let told = |seed| {
        let mut world = world_with(|b| {
            b.seed = seed;
            (b.pbx_link.loss, b.pbx_link.jitter) = (0.1, ms(15));
        });
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(2)));
        for i in 0..5 {
            let mut call = agent().hanging_up_after(secs(2));
            call.to = format!("+1219555{i:04}");
            world.agent_calls(call);
        }
        world.story(secs(200));
        let texts: Vec<_> = world
            .passed
            .iter()
            .map(|p| (p.at, p.text.clone()))
            .collect();
        let lines: Vec<_> = world.log.iter().map(|line| line.text.clone()).collect();
        (texts, lines, world.packets)
    };
    let once = told(7);
    assert!(once == told(7), "a second run went differently");
    assert!(once != told(8), "the seed decides nothing");
}
