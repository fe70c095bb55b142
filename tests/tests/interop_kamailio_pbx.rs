//! Kamailio as the PBX's proxy, with the configuration printed in docs/pbx/kamailio.md: a call in each direction.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::running::{Running, workspace};
use tests::sbc::{Sbc, Setup, binary};
use tests::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};
use tests::sipp::wait_listening;
use tests::tools::{find, library_directory, present};

const LIMIT: Duration = Duration::from_secs(40);

/// The configuration of the document, with the addresses of this test.
fn recipe(place: &Place, proxy: SocketAddr, telephone: SocketAddr) -> String {
    let document =
        std::fs::read_to_string(workspace().join("docs/pbx/kamailio.md")).expect("the recipe");
    let block = document
        .split("```kamailio\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let modules = library_directory("kamailio/modules/tm.so").expect("where Debian puts them");
    let mut rules = block.expect("a configuration").to_owned();
    for (theirs, ours) in [
        ("10.0.0.100", telephone.ip().to_string()),
        ("10.0.0.20", proxy.ip().to_string()),
        ("10.0.0.5", place.address(2).to_string()),
        (
            "/usr/lib/x86_64-linux-gnu/kamailio/modules/",
            format!("{}/", modules.display()),
        ),
    ] {
        assert!(rules.contains(theirs), "{theirs} is not in the recipe");
        rules = rules.replace(theirs, &ours);
    }
    rules
}

/// A telephone that calls through the proxy, and is called by it.
fn call_through(place: &Place, proxy: SocketAddr, arguments: &[&str]) -> Simulated {
    let listen = pbx_address(place);
    let mut command = Command::new(binary());
    command
        .args(["sim", "pbx", "--listen", &listen.to_string()])
        .args(["--sbc", &proxy.to_string()])
        .args(arguments);
    Simulated::start(place, "telephone", &mut command, listen)
}

fn play(user_calls: bool) {
    let place = Place::new(if user_calls {
        "kamailio-pbx-in"
    } else {
        "kamailio-pbx-out"
    });
    let authority = Authority::new(&place);
    let telephone = pbx_address(&place);
    let proxy = SocketAddr::new(place.address(32), 5060);
    let rules = place.write("kamailio.cfg", recipe(&place, proxy, telephone));
    let mut command = Command::new(find("kamailio").expect("asked for above"));
    command
        .arg("-f")
        .arg(&rules)
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"]);
    command
        .arg(place.directory())
        .arg("-w")
        .arg(place.directory());
    let mut kamailio = Running::start(&place, "kamailio", &mut command);
    wait_listening(proxy, false);

    let mut sbc = Sbc::start(&place, &authority, &Setup::new(meta_address(&place), proxy));
    let (user_speaks, agent_speaks) = (user_speaks(), agent_speaks());
    let mut meta: Vec<&str> = user_speaks.iter().map(String::as_str).collect();
    let mut desk: Vec<&str> = agent_speaks.iter().map(String::as_str).collect();
    let (placing, taking) = match user_calls {
        true => (&mut meta, &mut desk),
        false => (&mut desk, &mut meta),
    };
    placing.extend(["--calls", "1", "--hang-up-after", "5", "--at-most", "35"]);
    taking.extend(["--exit-after", "1", "--at-most", "35"]);
    let (mut user, mut agent);
    if user_calls {
        agent = call_through(&place, proxy, &desk);
        user = Simulated::meta(&place, &authority, "meta", &meta);
    } else {
        user = Simulated::meta(&place, &authority, "meta", &meta);
        agent = call_through(&place, proxy, &desk);
    }
    user.succeed(LIMIT);
    agent.succeed(LIMIT);
    user.heard(0)
        .unwrap_or_else(|why| panic!("the user does not hear the agent: {why}"));
    agent
        .heard(0)
        .unwrap_or_else(|why| panic!("the agent does not hear the user: {why}"));
    let records = sbc.wait_for_records(1, LIMIT);
    assert_eq!(records[0]["cause"], "normal", "{}", records[0]);
    assert!(kamailio.alive(), "{}", kamailio.tail());
}

#[test]
fn a_user_reaches_a_telephone_behind_kamailio_as_its_recipe_says() {
    if present("kamailio as a PBX", &["kamailio"]) {
        undisturbed(|| play(true));
    }
}

#[test]
fn a_telephone_behind_kamailio_reaches_a_user_as_its_recipe_says() {
    if present("kamailio as a PBX", &["kamailio"]) {
        undisturbed(|| play(false));
    }
}
