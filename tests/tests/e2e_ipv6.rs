//! The real binary on [::1]: TLS, SIP and media over IPv6 on both sides, and on either one alone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::{Place, free_port, wait_until};
use tests::running::Running;
use tests::sbc::{HOST, NUMBER, PASSWORD, binary};
use tests::simulated::{Simulated, agent_speaks, user_speaks};
use tests::tools;

const LIMIT: Duration = Duration::from_secs(40);
const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Which sides speak IPv6, and who calls.
struct Story {
    name: &'static str,
    meta: bool,
    pbx: bool,
    user_calls: bool,
}

fn at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, free_port(address))
}

fn side(place: &Place, is_ipv6: bool, host: u8) -> IpAddr {
    match is_ipv6 {
        true => LOOPBACK,
        false => place.address(host),
    }
}

fn play(story: &Story) {
    let place = Place::new(story.name);
    let authority = Authority::new(&place);
    let (public, private) = (side(&place, story.meta, 1), side(&place, story.pbx, 2));
    let (tls, sip) = (at(public), at(private));
    let meta_at = at(side(&place, story.meta, 21));
    let pbx_at = at(side(&place, story.pbx, 31));
    let own = authority.identity(&place, &[HOST]);
    let records = place.path("records.jsonl");
    let configuration = place.write(
        "wa-sbc.toml",
        format!(
            r#"[sip]
host = "{HOST}"
tls = {{ listen = "{tls}", certificate = "{certificate}", key = "{key}" }}
udp = {{ listen = "{sip}" }}

[media]
public = "{public}"
private = "{private}"

[meta]
connect = "{meta_at}"
extra_ca = "{ca}"
networks = ["{meta_ip}"]

[[number]]
e164 = "{NUMBER}"
password = {{ env = "WA_SBC_TEST_PASSWORD" }}
trunk = "office"

[[trunk]]
name = "office"
peer = "sip:{pbx_at};transport=udp"

[records]
file = "{records}"
"#,
            certificate = own.certificate.display(),
            key = own.key.display(),
            ca = authority.certificate.display(),
            meta_ip = ipnet(meta_at.ip()),
            records = records.display(),
        ),
    );
    let mut sbc = Running::start(
        &place,
        "wa-sbc",
        Command::new(binary())
            .args(["run", "--config"])
            .arg(&configuration)
            .env("WA_SBC_TEST_PASSWORD", PASSWORD),
    );
    sbc.wait_for("listening", Duration::from_secs(10));

    let theirs = authority.identity(&place, &["wa.meta.vc"]);
    let mut meta = Command::new(binary());
    meta.args(["sim", "meta", "--listen", &meta_at.to_string(), "--cert"])
        .arg(&theirs.certificate)
        .arg("--key")
        .arg(&theirs.key)
        .arg("--ca")
        .arg(&authority.certificate)
        .args(["--sbc", &tls.to_string(), "--number", NUMBER])
        .args(["--hostname", HOST, "--media-ports"])
        .arg(media_ports(meta_at.ip()))
        .args(["--at-most", "35"])
        .args(user_speaks())
        .env("WA_SIP_PASSWORD", PASSWORD);
    let mut pbx = Command::new(binary());
    pbx.args(["sim", "pbx", "--listen", &pbx_at.to_string()])
        .args(["--sbc", &sip.to_string(), "--media-ports"])
        .arg(media_ports(pbx_at.ip()))
        .args(["--at-most", "35"])
        .args(agent_speaks());
    let (placing, taking) = match story.user_calls {
        true => (&mut meta, &mut pbx),
        false => (&mut pbx, &mut meta),
    };
    placing.args(["--calls", "1", "--hang-up-after", "4"]);
    taking.args(["--exit-after", "1"]);
    // The called side first.
    let (mut user, mut desk);
    if story.user_calls {
        desk = Simulated::start(&place, "pbx", &mut pbx, pbx_at);
        user = Simulated::start(&place, "meta", &mut meta, meta_at);
    } else {
        user = Simulated::start(&place, "meta", &mut meta, meta_at);
        desk = Simulated::start(&place, "pbx", &mut pbx, pbx_at);
    }
    user.succeed(LIMIT);
    desk.succeed(LIMIT);
    for (who, peer) in [("user", &user), ("agent", &desk)] {
        let heard = peer.heard(0);
        assert!(
            heard.is_ok(),
            "the {who} hears nobody: {heard:?}\n{}",
            sbc.tail()
        );
    }
    wait_until("the record of the call", LIMIT, || {
        std::fs::read_to_string(&records).is_ok_and(|text| text.lines().count() == 1)
    });
    assert!(sbc.alive(), "{}", sbc.tail());
}

/// The ports of one call's media at an address, as the simulated peers take them: [::1] is there once, so
/// no two stories may want the same.
fn media_ports(address: IpAddr) -> String {
    let first = free_port(address);
    format!("{first}-{}", first + 1)
}

/// An address as a network of its own.
fn ipnet(address: IpAddr) -> String {
    match address {
        IpAddr::V4(_) => format!("{address}/32"),
        IpAddr::V6(_) => format!("{address}/128"),
    }
}

/// Whether this machine has [::1] at all.
fn has_ipv6(story: &str) -> bool {
    let bound = UdpSocket::bind((LOOPBACK, 0));
    match bound {
        Ok(_) => true,
        Err(error) => tools::cannot(story, &format!("no IPv6 loopback: {error}")),
    }
}

fn told(story: &Story) {
    if has_ipv6(story.name) {
        undisturbed(|| play(story));
    }
}

#[test]
fn a_user_and_an_agent_hear_each_other_where_everything_is_ipv6() {
    told(&Story {
        name: "e2e-ipv6-both",
        meta: true,
        pbx: true,
        user_calls: true,
    });
}

#[test]
fn an_agent_on_ipv6_and_a_user_on_ipv4_hear_each_other() {
    told(&Story {
        name: "e2e-ipv6-pbx",
        meta: false,
        pbx: true,
        user_calls: false,
    });
}

#[test]
fn an_agent_on_ipv4_and_a_user_on_ipv6_hear_each_other() {
    told(&Story {
        name: "e2e-ipv6-meta",
        meta: true,
        pbx: false,
        user_calls: false,
    });
}
