//! Connections and programs that end at the wrong moment, over real sockets with the real binary: the connection to Meta is dead
//! when the agent hangs up, and wa-sbc is killed while a PBX is registered with it.

use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use sip::{Answerer, Message, Method, Response, Secret};
use tests::certificates::Authority;
use tests::forgetful::Forgetful;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::sbc::{HOST, PASSWORD, Sbc, Setup};
use tests::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};

const LIMIT: Duration = Duration::from_secs(30);

fn texts<'a>(own: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    own.iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect()
}

#[test]
fn the_connection_to_meta_is_dead_when_the_agent_hangs_up_and_the_user_is_let_go_over_another() {
    undisturbed(|| {
        let place = Place::new("breaks-bye");
        let authority = Authority::new(&place);
        let between = std::net::SocketAddr::new(place.address(22), 5061);
        let mut sbc = Sbc::start(
            &place,
            &authority,
            &Setup::new(between, pbx_address(&place)),
        );
        let (user, desk) = (user_speaks(), agent_speaks());
        let mut meta = Simulated::meta(
            &place,
            &authority,
            "meta",
            &texts(&user, &["--exit-after", "1"]),
        );
        let nat = Forgetful::start(between, meta.listen);
        let mut pbx = Simulated::pbx(
            &place,
            "pbx",
            &texts(&desk, &["--calls", "1", "--hang-up-after", "5"]),
        );
        pbx.wait_for("answered", 1, LIMIT);
        std::thread::sleep(Duration::from_secs(2));
        let before = nat.connections();
        nat.forget();
        pbx.succeed(LIMIT);
        // The simulated Meta had its BYE, or it would not be content.
        meta.succeed(LIMIT);
        assert_eq!(nat.connections(), before + 1, "one fresh connection");
        let records = sbc.wait_for_records(1, LIMIT);
        assert_eq!(records[0]["cause"], "normal", "{records:?}");
        assert!(!sbc.running.log().contains("never answered our BYE"));
    });
}

#[test]
fn meta_cannot_be_reached_when_the_agent_hangs_up_and_that_is_an_alarm_and_no_dead_line() {
    undisturbed(|| {
        let place = Place::new("breaks-alarm");
        let authority = Authority::new(&place);
        let between = std::net::SocketAddr::new(place.address(22), 5061);
        let mut sbc = Sbc::start(
            &place,
            &authority,
            &Setup::new(between, pbx_address(&place)),
        );
        let meta = Simulated::meta(&place, &authority, "meta", &["--silent"]);
        let nat = Forgetful::start(between, meta.listen);
        let mut pbx = Simulated::pbx(
            &place,
            "pbx",
            &["--silent", "--calls", "1", "--hang-up-after", "4"],
        );
        pbx.wait_for("answered", 1, LIMIT);
        nat.forget();
        nat.shut();
        pbx.succeed(LIMIT);
        sbc.running.wait_for("never answered our BYE", LIMIT);
        let records = sbc.wait_for_records(1, LIMIT);
        assert_eq!(records[0]["cause"], "normal", "{records:?}");
    });
}

/// A telephone that can register and say that it is busy, and no more.
struct Telephone(UdpSocket);

impl Telephone {
    fn hear(&self) -> Message {
        let mut buffer = [0; 8192];
        let length = self.0.recv(&mut buffer).expect("something comes in time");
        sip::parse(Bytes::copy_from_slice(&buffer[..length])).expect("SIP")
    }

    fn answer(&self) -> Response {
        loop {
            if let Message::Response(response) = self.hear() {
                return response;
            }
        }
    }

    fn register(&self) {
        let here = self.0.local_addr().expect("bound");
        let mut answerer = Answerer::new("desk".to_owned(), Secret::new(PASSWORD.to_owned()));
        let mut proof = String::new();
        for turn in 1..=2 {
            let text = format!(
                "REGISTER sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKreg{turn}\r\nMax-Forwards: 70\r\n\
                 From: <sip:desk@{HOST}>;tag=1\r\nTo: <sip:desk@{HOST}>\r\nCall-ID: reg@{here}\r\nCSeq: {turn} REGISTER\r\n\
                 Contact: <sip:desk@{here}>\r\nExpires: 3600\r\n{proof}Content-Length: 0\r\n\r\n"
            );
            self.0.send(text.as_bytes()).expect("sent");
            let response = self.answer();
            if response.is_success() {
                return;
            }
            let uri = format!("sip:{HOST}");
            let (name, value) = answerer
                .answer(&response, &Method::Register, &uri, &[], "c0ffee".to_owned())
                .expect("a challenge");
            proof = format!("{name}: {}\r\n", value.as_str());
        }
        panic!("not registered");
    }

    fn is_busy(&self) {
        loop {
            if let Message::Request(request) = self.hear()
                && request.method == Method::Invite
            {
                let mut busy = Response::to(&request, 486, "Busy Here");
                busy.tag_to("telephone");
                self.0.send(&busy.to_bytes()).expect("sent");
                return;
            }
        }
    }
}

#[test]
fn a_telephone_that_registered_is_called_after_a_kill_and_a_restart() {
    undisturbed(|| {
        let place = Place::new("breaks-restart");
        let authority = Authority::new(&place);
        let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
        setup.trunk = Some(
            "[[trunk]]\nname = \"office\"\npeer = \"registered\"\nusername = \"desk\"\n\
             password = { env = \"WA_SBC_TEST_PASSWORD\" }\ncodecs = [\"PCMA\"]\n"
                .into(),
        );
        setup.tables = format!(
            "[registrar]\nstore = \"{}\"\n",
            place.path("registrations.db").display()
        );
        let mut sbc = Sbc::start(&place, &authority, &setup);
        let telephone =
            Telephone(UdpSocket::bind(pbx_address(&place)).expect("the address is ours"));
        telephone.0.set_read_timeout(Some(LIMIT)).expect("a time");
        telephone.0.connect(sbc.sip).expect("an address");
        telephone.register();
        sbc.running.wait_for("trunk office has registered", LIMIT);
        // Long enough for a thread to write a row.
        std::thread::sleep(Duration::from_secs(1));
        sbc.running.signal("KILL");
        drop(sbc);

        let mut sbc = Sbc::start(&place, &authority, &setup);
        let _meta = Simulated::meta(&place, &authority, "meta", &["--silent", "--calls", "1"]);
        telephone.is_busy();
        let records = sbc.wait_for_records(1, LIMIT);
        assert_eq!(records[0]["cause"], "busy", "{records:?}");
    });
}
