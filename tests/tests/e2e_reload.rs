//! 10,000 numbers and 500 trunks are loaded in under a second, and loaded again while 200 calls talk: no call notices, a
//! new number is served, one that was removed is not. And an upgrade: the old program ends with its last call, the new one takes
//! the next.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::load::{Generator, Pace, Talk};
use tests::metronome::undisturbed;
use tests::place::{Place, wait_until};
use tests::running::Running;
use tests::sbc::{DOMAIN, PASSWORD, Sbc, Setup, binary};
use tests::simulated::{Simulated, meta_address, pbx_address};
use tests::sipp::wait_listening;

const CALLS: u32 = 200;

fn number(e164: &str) -> String {
    format!(
        "[[number]]\ne164 = \"{e164}\"\ndomain = \"{DOMAIN}\"\npassword = {{ env = \"WA_SBC_TEST_PASSWORD\" }}\n\
         trunk = \"office\"\ncodecs = [\"opus\"]\n\n"
    )
}

#[test]
fn ten_thousand_numbers_are_reloaded_and_200_calls_do_not_notice() {
    undisturbed(story);
}

fn story() {
    let place = Place::new("reload");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    setup.meta_codecs = vec!["PCMA"];
    // A machine that is busy with other tests would refuse the new calls, rightly.
    let mut tables =
        "[admission]\noverload_lag = 0\noverload_queue = 0\noverload_media = 0\n\n".to_owned();
    for n in 0..499 {
        let _ = write!(
            tables,
            "[[trunk]]\nname = \"t{n}\"\npeer = \"sip:10.1.{}.{}:5060\"\nping = 0\n\n",
            n / 250,
            n % 250 + 1
        );
    }
    let (first, last, new) = ("+4930200000", "+49302009998", "+4930777777");
    for n in 0..9_998 {
        tables.push_str(&number(&format!("+4930200{n:04}")));
    }
    tables.push_str(&number(last));
    setup.tables = tables;
    let began = Instant::now();
    let mut sbc = Sbc::start(&place, &authority, &setup);
    println!(
        "reload: 10,000 numbers and 500 trunks read, and listening after {:.0?}",
        began.elapsed()
    );
    let mut generator = Generator::new(&place, &authority, &sbc);

    let mut talk = None;
    let ended = generator.hold(CALLS, Pace::AtOnce(32), |generator| {
        talk = Some(Talk::during(generator, |generator| {
            generator.carry_for(Duration::from_secs(1));
            assert_eq!(
                generator.ask(last),
                200,
                "a number of the first configuration"
            );
            let before = std::fs::read_to_string(&sbc.configuration).expect("its configuration");
            let after = before.replace(&number(last), &number(new));
            assert_ne!(before, after);
            std::fs::write(&sbc.configuration, after).expect("its configuration can be written");
            let began = Instant::now();
            sbc.running.signal("HUP");
            wait_until(
                "the configuration is read again",
                Duration::from_secs(20),
                || {
                    generator.carry_for(Duration::from_millis(20));
                    sbc.running.log().contains("configuration reloaded")
                },
            );
            println!(
                "reload: read again and in force after {:.0?}",
                began.elapsed()
            );
            generator.carry_for(Duration::from_secs(1));
            assert_eq!(generator.ask(new), 200, "a new number is served");
            assert_eq!(generator.ask(last), 404, "a number that was removed is not");
            assert_eq!(
                generator.ask(&format!("{first}0")),
                200,
                "a number that stayed is"
            );
        }));
    });
    assert_eq!(
        ended.done,
        CALLS + 3,
        "every call was ended by Meta and by nobody else"
    );
    let records = sbc.wait_for_records(CALLS as usize + 3, Duration::from_secs(10));
    let normal = records
        .iter()
        .filter(|record| record["cause"] == "normal")
        .count();
    assert_eq!(normal, CALLS as usize + 3, "{:?}", records.first());
    talk.expect("they were held")
        .assert_whole(&records, CALLS, 0.001);
    assert!(sbc.running.alive());
}

#[test]
fn an_upgrade_lets_a_talking_call_end_by_itself_and_the_new_program_takes_the_next() {
    const LIMIT: Duration = Duration::from_secs(30);
    let place = Place::new("upgrade");
    let authority = Authority::new(&place);
    let setup = Setup::new(meta_address(&place), pbx_address(&place));
    let mut sbc = Sbc::start(&place, &authority, &setup);
    // Calls get more time; that is read while the program runs.
    let text = std::fs::read_to_string(&sbc.configuration).expect("its configuration");
    let longer = text.replace("\ndrain = 1\n", "\ndrain = 25\n");
    assert_ne!(text, longer);
    std::fs::write(&sbc.configuration, longer).expect("writable");
    sbc.running.signal("HUP");
    sbc.running.wait_for("configuration reloaded", LIMIT);

    let calls = |name: &str, seconds: &str| {
        let words = [
            "--calls",
            "1",
            "--hang-up-after",
            seconds,
            "--at-most",
            "25",
        ];
        Simulated::meta(&place, &authority, name, &words)
    };
    let mut desk = Simulated::pbx(&place, "pbx", &["--exit-after", "2", "--at-most", "60"]);
    let mut user = calls("meta-1", "4");
    user.wait_for("answered", 1, LIMIT);
    let told = Instant::now();
    sbc.running.signal("TERM");
    sbc.running
        .wait_for("taking no new calls calls=1 within_s=25", LIMIT);
    user.wait_for("ended", 1, LIMIT);
    let ended = &user.events("ended")[0];
    assert!(
        ended["by"] == "us" && ended["confirmed"] == true,
        "the user hung up, nobody else: {ended}"
    );
    assert!(
        told.elapsed() > Duration::from_secs(2),
        "and talked on until then"
    );
    assert!(sbc.running.finish(LIMIT).success());
    assert!(
        told.elapsed() < Duration::from_secs(20),
        "the end does not wait for the drain to be over"
    );
    drop(user);

    let mut new = Running::start(
        &place,
        "wa-sbc-new",
        Command::new(binary())
            .args(["run", "--config"])
            .arg(&sbc.configuration)
            .env("WA_SBC_TEST_PASSWORD", PASSWORD),
    );
    new.wait_for("listening", LIMIT);
    wait_listening(sbc.tls, true);
    let mut user = calls("meta-2", "1");
    user.wait_for("ended", 1, LIMIT);
    assert_eq!(user.events("ended")[0]["confirmed"], true);
    desk.wait_for("ended", 2, LIMIT);
    let records = sbc.wait_for_records(2, LIMIT);
    assert!(
        records.iter().all(|record| record["cause"] == "normal"),
        "{records:#?}"
    );
    new.terminate();
}
