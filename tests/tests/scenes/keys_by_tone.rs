//! A PBX without telephone events: keys are tones in its audio, both ways (`dtmf = "inband"`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use b2bua::profile::Digits;
use media::codec::{decode_pcma, encode_pcma};
use media::tone::{Tone, level_dbfs};
use sdp::Codec;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

/// A world whose PBX has A-law and nothing else.
fn bare_world() -> World {
    world_where_keys_are(Digits::Tones)
}

fn world_where_keys_are(digits: Digits) -> World {
    world_with(|beginning| {
        with_trunk(&mut beginning.settings, |trunk| {
            let mut profile = (*trunk.profile).clone();
            profile.digits = digits;
            trunk.profile = Arc::new(profile);
            trunk.codecs = vec![Codec::Pcma];
        });
        beginning.pbx.codecs = vec![Codec::Pcma];
    })
}

/// Whether these are packets of A-law, and where the audio is.
fn audio(bytes: &mut [u8]) -> Option<&mut [u8]> {
    (bytes.len() == 172 && bytes[1] & 0x7f == 8).then(|| &mut bytes[12..])
}

/// For how many ms a PBX hears the tones of a 1 and of a 9, which the user presses.
fn heard_by_the_pbx(world: &mut World) -> [usize; 2] {
    let heard: Rc<RefCell<Vec<i16>>> = Rc::default();
    let ear = heard.clone();
    world.sieve(move |from, to, bytes| {
        if from == Sbc
            && to == Pbx
            && let Some(payload) = audio(bytes)
        {
            let mut pcm = [0; 160];
            decode_pcma(payload, &mut pcm);
            ear.borrow_mut().extend(pcm);
        }
        true
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(6)).pressing(secs(2), "19"));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.digits(Pbx), "", "no telephone events");
    let invite = &story.messages(Sbc, Pbx, "INVITE")[0];
    assert!(
        !invite.body().contains("telephone-event"),
        "{}",
        invite.text
    );
    let heard = heard.borrow();
    [(697.0, 1_209.0), (852.0, 1_477.0)].map(|(low, high)| {
        let loud = heard
            .chunks_exact(160)
            .filter(|part| level_dbfs(part, low) > -16.0 && level_dbfs(part, high) > -16.0);
        loud.count() * 20
    })
}

#[test]
fn keys_of_a_user_are_tones_a_pbx_can_hear() {
    let mut world = bare_world();
    let loud = heard_by_the_pbx(&mut world);
    assert!(
        loud.iter().all(|ms| (80..=160).contains(ms)),
        "1 and 9 for {loud:?} ms"
    );
    assert_eq!(world.records[0].digits, [2, 0]);
}

#[test]
fn where_nobody_asked_for_it_no_key_becomes_a_tone_and_no_tone_a_key() {
    let mut world = world_where_keys_are(Digits::Events);
    assert_eq!(heard_by_the_pbx(&mut world), [0, 0]);
    let mut world = world_where_keys_are(Digits::Events);
    let story = tones_of_an_agent(&mut world);
    assert_eq!(
        (story.digits(Meta), story.record().digits),
        (String::new(), [0, 0])
    );
}

/// An agent's call, in which his telephone says the 0 as a tone for 100 ms twice a second.
fn tones_of_an_agent(world: &mut World) -> Story<'_> {
    world.meta.script(user_answers(secs(1)));
    let (mut low, mut high) = (Tone::new(941.0, -14.0), Tone::new(1_336.0, -13.0));
    let mut packets = 0;
    world.sieve(move |from, to, bytes| {
        if from == Pbx
            && to == Sbc
            && let Some(payload) = audio(bytes)
        {
            packets += 1;
            // From the second second on, 100 ms of each half: the 0.
            if packets > 100 && packets % 25 < 5 {
                let (mut pcm, mut more) = ([0; 160], [0; 160]);
                low.fill(&mut pcm);
                high.fill(&mut more);
                pcm.iter_mut().zip(&more).for_each(|(a, b)| *a += b);
                encode_pcma(&pcm, payload);
            }
        }
        true
    });
    world.agent_calls(agent().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean();
    story
}

#[test]
fn tones_of_an_agent_are_keys_for_the_user() {
    let mut world = bare_world();
    let story = tones_of_an_agent(&mut world);
    let keys = story.digits(Meta);
    assert!(
        (5..=6).contains(&keys.len()) && keys.chars().all(|key| key == '0'),
        "{keys}"
    );
    let user = story.heard(Meta);
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    assert_eq!(story.record().digits, [keys.len() as u32, 0]);
}
