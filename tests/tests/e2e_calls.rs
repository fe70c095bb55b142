//! The real binary between the simulated Meta and PBX, three processes on real sockets with TLS and SRTP: every codec pair in
//! both directions, digits both ways, either side hangs up.

use std::time::Duration;

use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};

const LIMIT: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, PartialEq)]
enum By {
    User,
    Desk,
}

/// How the call goes: SIP to the PBX over UDP or TCP, or over UDP with one port towards Meta for all calls.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Udp,
    Tcp,
    OnePort,
}

struct Story {
    name: &'static str,
    calls: By,
    hangs_up: By,
    meta: &'static str,
    pbx: &'static str,
    over: Over,
}

fn play(story: &Story) {
    let place = Place::new(story.name);
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.meta_codecs = vec![story.meta];
    setup.pbx_codecs = vec![story.pbx];
    match story.over {
        Over::Udp => {}
        Over::Tcp => setup.pbx.1 = "tcp",
        Over::OnePort => setup.media_lines = "meta_port = \"single\"\n".to_owned(),
    }
    let mut sbc = Sbc::start(&place, &authority, &setup);

    let codecs = format!("{},telephone-event", story.pbx);
    let mut meta: Vec<String> = user_speaks().into();
    let mut pbx: Vec<String> = agent_speaks().into();
    let add = |arguments: &mut Vec<String>, more: &[&str]| {
        arguments.extend(more.iter().map(|one| (*one).to_owned()))
    };
    add(
        &mut meta,
        &["--digits", "42#", "--digits-after", "3", "--at-most", "35"],
    );
    add(
        &mut pbx,
        &[
            "--digits",
            "17*",
            "--digits-after",
            "5",
            "--at-most",
            "35",
            "--codecs",
            &codecs,
        ],
    );
    if story.meta != "opus" {
        add(&mut meta, &["--g711"]);
    }
    if story.over == Over::Tcp {
        add(&mut pbx, &["--tcp"]);
    }
    let (placing, taking) = match story.calls {
        By::User => (&mut meta, &mut pbx),
        By::Desk => (&mut pbx, &mut meta),
    };
    add(placing, &["--calls", "1"]);
    add(taking, &["--exit-after", "1"]);
    add(
        if story.hangs_up == By::User {
            &mut meta
        } else {
            &mut pbx
        },
        &["--hang-up-after", "12"],
    );

    // The called side first.
    let meta: Vec<&str> = meta.iter().map(String::as_str).collect();
    let pbx: Vec<&str> = pbx.iter().map(String::as_str).collect();
    let (mut user, mut desk);
    if story.calls == By::User {
        desk = Simulated::pbx(&place, "pbx", &pbx);
        user = Simulated::meta(&place, &authority, "meta", &meta);
    } else {
        user = Simulated::meta(&place, &authority, "meta", &meta);
        desk = Simulated::pbx(&place, "pbx", &pbx);
    }
    user.succeed(LIMIT);
    desk.succeed(LIMIT);

    let heard = user
        .heard(0)
        .unwrap_or_else(|why| panic!("the user does not hear the agent: {why}"));
    assert_eq!(heard["digits"], "17*", "{heard}");
    println!("{}: user heard {heard}", story.name);
    let heard = desk
        .heard(0)
        .unwrap_or_else(|why| panic!("the agent does not hear the user: {why}"));
    assert_eq!(heard["digits"], "42#", "{heard}");
    println!("{}: desk heard {heard}", story.name);
    assert_eq!(
        sbc.wait_for_records(1, LIMIT).len(),
        1,
        "one call, one record"
    );
}

macro_rules! stories {
    ($($test:ident: $calls:ident, $hangs_up:ident, $meta:literal, $pbx:literal, $over:ident;)+) => {
        $(
            #[test]
            fn $test() {
                let name = concat!("e2e-", stringify!($test));
                undisturbed(|| play(&Story { name, calls: By::$calls, hangs_up: By::$hangs_up, meta: $meta, pbx: $pbx, over: Over::$over }));
            }
        )+
    };
}

stories! {
    user_calls_desk_opus_pcma: User, User, "opus", "PCMA", Udp;
    user_calls_desk_opus_pcmu: User, Desk, "opus", "PCMU", Udp;
    user_calls_desk_opus_opus: User, User, "opus", "opus", Udp;
    user_calls_desk_pcma_pcma: User, Desk, "PCMA", "PCMA", Udp;
    user_calls_desk_pcmu_pcmu: User, User, "PCMU", "PCMU", Udp;
    user_calls_desk_pcma_pcmu: User, Desk, "PCMA", "PCMU", Udp;
    user_calls_desk_pcma_opus: User, Desk, "PCMA", "opus", Udp;
    user_calls_desk_over_tcp: User, Desk, "opus", "PCMA", Tcp;
    user_calls_desk_over_one_port: User, Desk, "opus", "PCMA", OnePort;
    desk_calls_user_opus_pcma: Desk, Desk, "opus", "PCMA", Udp;
    desk_calls_user_opus_pcmu: Desk, User, "opus", "PCMU", Udp;
    desk_calls_user_opus_opus: Desk, Desk, "opus", "opus", Udp;
    desk_calls_user_pcma_pcma: Desk, User, "PCMA", "PCMA", Udp;
    desk_calls_user_pcmu_pcmu: Desk, Desk, "PCMU", "PCMU", Udp;
    desk_calls_user_pcmu_pcma: Desk, User, "PCMU", "PCMA", Udp;
    desk_calls_user_over_tcp: Desk, User, "opus", "PCMA", Tcp;
    desk_calls_user_over_one_port: Desk, User, "opus", "opus", OnePort;
}
