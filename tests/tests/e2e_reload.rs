//! 10,000 numbers and 500 trunks are loaded in under a second, and loaded again while 200 calls talk: no call notices, a
//! new number is served, one that was removed is not.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::load::{Generator, Pace, Talk};
use tests::metronome::undisturbed;
use tests::place::{Place, wait_until};
use tests::sbc::{DOMAIN, Sbc, Setup};
use tests::simulated::{meta_address, pbx_address};

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
