//! What Meta may see of a call, whatever the PBX does in mid-call (Meta reference 5.3).

use sim::scene::Story;
use sim::world::Party::{Meta, Sbc};

/// The methods that may be seen on Meta's side.
const FIVE: [&str; 5] = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"];

/// Meta saw only INVITE, ACK, BYE, CANCEL and OPTIONS: one dialog-forming INVITE a call at most, and
/// nowhere a word of what we can do beyond them.
#[track_caller]
pub(crate) fn meta_saw_only_five_methods(story: &Story<'_>) {
    for message in story.messages(Sbc, Meta, "") {
        let method = message.text.split(' ').next().unwrap_or_default();
        if message.text.starts_with("SIP/2.0") {
            for extension in ["Require", "RSeq", "Session-Expires", "Min-SE", "Supported"] {
                assert_eq!(message.header(extension), None, "{}", message.text);
            }
            continue;
        }
        assert!(FIVE.contains(&method), "{}", message.text);
        let in_dialog = message.header("To").is_some_and(|to| to.contains(";tag="));
        assert!(
            !(in_dialog && method == "INVITE"),
            "a re-INVITE to Meta: {}",
            message.text
        );
        for extension in ["Require", "Supported", "Session-Expires", "Min-SE", "RAck"] {
            assert_eq!(message.header(extension), None, "{}", message.text);
        }
    }
    let forbidden: Vec<String> = story.all(Meta, |what| match what {
        sim::report::What::Forbidden { method } => Some(method.clone()),
        _ => None,
    });
    assert!(forbidden.is_empty(), "{forbidden:?}");
}
