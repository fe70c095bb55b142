//! Who does not want to be known, and how much of that can be had (RFC 3323, RFC 3325).

use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

#[test]
fn an_agent_who_hides_himself_is_hidden_and_one_who_hides_the_business_is_told_it_cannot_be() {
    for (wishes, refused) in [
        ("id", false),
        ("id;header;session;critical", false),
        ("user", false),
        ("user;critical", true),
        ("critical;teleport", true),
        ("none", false),
    ] {
        let mut world = silent_world();
        world.meta.script(user_answers(secs(1)));
        let mut call = agent().hanging_up_after(secs(2));
        call.headers = vec![
            ("Privacy".into(), wishes.into()),
            (
                "P-Asserted-Identity".into(),
                format!("\"Agent Smith\" <sip:{NUMBER}@10.0.0.20>"),
            ),
        ];
        world.agent_calls(call);
        let story = world.story(secs(60));
        story.is_clean();
        let to_meta = story.messages(Sbc, Meta, "INVITE");
        assert_eq!(to_meta.is_empty(), refused, "{wishes}");
        for invite in to_meta {
            for inside in ["P-Asserted-Identity", "Smith", "Privacy", "10.0.0."] {
                assert!(!invite.text.contains(inside), "{wishes}: {inside}");
            }
        }
        if refused {
            assert_eq!(story.refused(Pbx).0, 500, "{wishes}");
            let told = story.messages(Sbc, Pbx, "SIP/2.0 500")[0];
            assert!(
                told.header("Warning")
                    .is_some_and(|w| w.contains("privacy"))
            );
        } else {
            assert_eq!(story.record().cause.label(), "normal", "{wishes}");
        }
    }
}

#[test]
fn a_user_who_hides_everything_leaves_his_number_in_no_header_of_the_call() {
    let mut world = silent_world();
    world.tamper(|from, to, text| {
        let invite = (from, to) == (Meta, Sbc) && text.starts_with("INVITE");
        let hiding = "\r\nPrivacy: header;user;critical\r\nMax-Forwards";
        Some(match invite {
            true => text.replacen("\r\nMax-Forwards", hiding, 1),
            false => text.to_owned(),
        })
    });
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(60));
    story.is_clean();
    let invite = story.messages(Sbc, Pbx, "INVITE")[0];
    for name in ["From", "Contact", "Via", "To", "P-Asserted-Identity"] {
        for value in invite.headers(name) {
            assert!(!value.contains("12195550714"), "{name}: {value}");
        }
    }
    assert_eq!(story.record().cause.label(), "normal");
}
