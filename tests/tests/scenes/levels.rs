//! A PBX that is too quiet for users, or finds them too quiet.

use b2bua::settings::TrunkMedia;
use sdp::Codec;
use sdp::plan::Gain;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx};

/// By how many dB more than was said the user and the agent hear each other.
fn heard(codec: Codec, gain: Gain) -> [f64; 2] {
    let mut world = world_with(|beginning| {
        with_trunk(&mut beginning.settings, |trunk| {
            trunk.codecs = vec![codec, Codec::TelephoneEvent];
            trunk.media = TrunkMedia {
                gain,
                ..TrunkMedia::default()
            };
        });
        beginning.pbx.codecs = vec![codec, Codec::TelephoneEvent];
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(6)).pressing(secs(3), "7"));
    let story = world.story(secs(60));
    story.is_clean();
    assert_eq!(story.digits(Pbx), "7");
    [Meta, Pbx].map(|party| {
        let heard = story.heard(party);
        assert_eq!((heard.ssrcs, heard.bad, heard.lost), (1, 0, 0), "{heard:?}");
        heard.level_error_db
    })
}

#[test]
fn a_quiet_pbx_is_made_louder_for_the_user_and_the_user_for_it() {
    for codec in [Codec::Pcma, Codec::Opus] {
        let as_it_came = heard(codec, Gain::default());
        let louder = heard(codec, Gain { heard: 9, said: 4 });
        for ((before, after), wanted) in as_it_came.into_iter().zip(louder).zip([9.0, 4.0]) {
            let gained = after - before;
            assert!(
                (gained - wanted).abs() < 1.0,
                "{codec:?}: {gained} dB, not {wanted}"
            );
        }
    }
}
