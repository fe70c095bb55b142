//! What the record of a call says of its quality, where the networks are known.

use sim::scene::*;
use std::time::Duration;

#[test]
fn the_record_tells_how_far_away_both_sides_are_and_what_each_got() {
    let mut world = world_with(|b| {
        (b.meta_link.latency, b.meta_link.jitter, b.meta_link.loss) = (ms(70), ms(12), 0.04);
        b.pbx_link.latency = ms(3);
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(32)));
    let story = world.story(secs(200));
    let [user, agent] = &story.record().media.legs;
    let near = |trip: Option<Duration>, expected: u64, by: u64| {
        let trip = trip.expect("both sides report").as_millis() as u64;
        assert!(
            (expected..=expected + by).contains(&trip),
            "{trip} ms, not {expected}"
        );
    };
    near(user.round_trip, 140, 24);
    near(agent.round_trip, 6, 1);
    // Of what we sent to the user, by his own reports; and of what came from there, by our count.
    let lost = user.remote_lost.expect("he reports");
    assert!((20..=110).contains(&lost), "{lost} of 1500");
    assert!((20..=110).contains(&user.lost), "{user:?}");
    let jitter = user.remote_jitter.expect("he reports");
    assert!(jitter > ms(1) && jitter < ms(12), "{jitter:?}");
    assert!(user.jitter > ms(1) && user.jitter < ms(12), "{user:?}");
    assert_eq!((agent.remote_lost, agent.lost), (Some(0), 0));
    let scores = [user, agent].map(|leg| [leg.mos_received, leg.mos_sent]);
    let scores = scores.map(|leg| leg.map(|score| score.expect("enough to judge by")));
    assert!(
        scores[0].iter().all(|score| (3.0..4.2).contains(score)),
        "{scores:?}"
    );
    assert!(scores[1].iter().all(|score| *score > 4.35), "{scores:?}");
    for leg in [user, agent] {
        let drift = leg.clock_drift_ppm.expect("30 s of audio");
        assert!(
            drift.abs() < 60.0,
            "{drift} ppm of clocks that do not drift"
        );
    }
}

#[test]
fn a_call_of_half_a_second_has_figures_and_no_scores() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(ms(500)));
    let story = world.story(secs(60));
    story.is_clean();
    for leg in &story.record().media.legs {
        assert!(leg.packets_received > 10, "{leg:?}");
        assert_eq!((leg.mos_received, leg.mos_sent), (None, None));
        assert_eq!((leg.round_trip, leg.clock_drift_ppm), (None, None));
    }
}
