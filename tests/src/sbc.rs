//! The accused: the real `wa-sbc run`, configured for one test.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::certificates::Authority;
use crate::place::{Place, wait_until};
use crate::running::{Running, workspace};
use crate::sipp::wait_listening;

/// The name Meta knows us by.
pub const HOST: &str = "sbc.meta-voip.example.com";
/// The domain of our From: a parent of the host, as Meta allows.
pub const DOMAIN: &str = "meta-voip.example.com";
/// The business number.
pub const NUMBER: &str = "+17125550259";
/// Its digest user name.
pub const USERNAME: &str = "17125550259";
/// Its digest password. A lab password; it opens nothing.
pub const PASSWORD: &str = "9fT3kWq7ZsL2xVb8Rm4N";
/// The WhatsApp user.
pub const USER: &str = "+12195550714";

/// What is particular about the wa-sbc of one test.
pub struct Setup {
    /// Where `wa.meta.vc` is found.
    pub meta: SocketAddr,
    /// Where the PBX is found, and `udp` or `tcp`.
    pub pbx: (SocketAddr, &'static str),
    /// Where Meta's calls may come from.
    pub meta_networks: String,
    /// Codecs towards Meta beside telephone-event.
    pub meta_codecs: Vec<&'static str>,
    /// Codecs towards the PBX beside telephone-event.
    pub pbx_codecs: Vec<&'static str>,
    /// Challenge user-initiated calls.
    pub challenge: bool,
    /// Further lines for the `[media]` table.
    pub media_lines: String,
    /// Further lines for the `[[number]]` table.
    pub number_lines: String,
    /// Further lines for the `[[trunk]]` table.
    pub trunk_lines: String,
    /// Further lines for the `[records]` table.
    pub record_lines: String,
    /// Whether records are written into a file, as nearly every test wants it.
    pub records: bool,
    /// The `[[trunk]]` table as a whole, where it is another than the usual one.
    pub trunk: Option<String>,
    /// Whole further tables.
    pub tables: String,
    /// The log filter.
    pub log: &'static str,
    /// The largest file it may write, in blocks of 512 octets: a disk that is full, for whoever is not root.
    pub largest_file: Option<u32>,
}

impl Setup {
    /// Opus towards Meta, PCMA towards a PBX over UDP, calls challenged.
    pub fn new(meta: SocketAddr, pbx: SocketAddr) -> Setup {
        Setup {
            meta,
            pbx: (pbx, "udp"),
            meta_networks: "127.0.0.0/8".to_owned(),
            meta_codecs: vec!["opus"],
            pbx_codecs: vec!["PCMA"],
            challenge: true,
            media_lines: String::new(),
            number_lines: String::new(),
            trunk_lines: String::new(),
            record_lines: String::new(),
            records: true,
            trunk: None,
            tables: String::new(),
            log: "debug",
            largest_file: None,
        }
    }
}

/// A running wa-sbc.
pub struct Sbc {
    /// The program.
    pub running: Running,
    /// Its TLS port, towards Meta.
    pub tls: SocketAddr,
    /// Its UDP and TCP port, towards the PBX.
    pub sip: SocketAddr,
    /// Its media address towards Meta.
    pub public: IpAddr,
    /// Its media address towards the PBX.
    pub private: IpAddr,
    /// Its configuration file.
    pub configuration: PathBuf,
    records: PathBuf,
}

impl Sbc {
    /// Starts wa-sbc and waits until it listens. It stands at the first two addresses of the place.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(place: &Place, authority: &Authority, setup: &Setup) -> Sbc {
        let (public, private) = (place.address(1), place.address(2));
        let (tls, sip) = (
            SocketAddr::new(public, 5061),
            SocketAddr::new(private, 5060),
        );
        let identity = authority.identity(place, &[HOST]);
        let records = place.path("records.jsonl");
        let list = |codecs: &[&str]| {
            let all: Vec<String> = codecs
                .iter()
                .chain(&["telephone-event"])
                .map(|codec| format!("\"{codec}\""))
                .collect();
            all.join(", ")
        };
        let usual = || {
            let (pbx, transport) = setup.pbx;
            format!(
                "[[trunk]]\nname = \"office\"\npeer = \"sip:{pbx};transport={transport}\"\n\
                 networks = [\"{}/32\", \"127.0.0.1/32\"]\ncodecs = [{}]\n",
                pbx.ip(),
                list(&setup.pbx_codecs),
            )
        };
        let trunk = setup.trunk.clone().unwrap_or_else(usual) + "\n" + &setup.trunk_lines;
        let configuration = place.write(
            "wa-sbc.toml",
            format!(
                r#"[sip]
host = "{HOST}"
tls = {{ listen = "{tls}", certificate = "{certificate}", key = "{key}" }}
udp = {{ listen = "{sip}" }}
tcp = {{ listen = "{sip}" }}
drain = 1

[media]
public = "{public}"
private = "{private}"
ports = "20000-29999"
{media_lines}

[meta]
connect = "{meta}"
extra_ca = "{ca}"
networks = ["{meta_networks}"]

[[number]]
e164 = "{NUMBER}"
domain = "{DOMAIN}"
password = {{ env = "WA_SBC_TEST_PASSWORD" }}
trunk = "office"
challenge = {challenge}
codecs = [{meta_codecs}]
{number_lines}

{trunk}

[records]
{records}
{record_lines}

[log]
filter = "{log}"

{tables}
"#,
                certificate = identity.certificate.display(),
                key = identity.key.display(),
                ca = authority.certificate.display(),
                meta = setup.meta,
                meta_networks = setup.meta_networks,
                challenge = setup.challenge,
                meta_codecs = list(&setup.meta_codecs),
                media_lines = setup.media_lines,
                number_lines = setup.number_lines,
                records = match setup.records {
                    true => format!("file = \"{}\"", records.display()),
                    false => String::new(),
                },
                record_lines = setup.record_lines,
                log = setup.log,
                tables = setup.tables,
            ),
        );
        let largest = setup
            .largest_file
            .map_or(String::new(), |blocks| format!("ulimit -f {blocks}; "));
        // Draining ports are open files: the soft limit of a login shell is too low for the load tests.
        let limits = format!("ulimit -n $(ulimit -Hn); {largest}exec \"$0\" \"$@\"");
        let running = Running::start(
            place,
            "wa-sbc",
            Command::new("sh")
                .args(["-c", &limits])
                .arg(binary())
                .args(["run", "--config"])
                .arg(&configuration)
                .env("WA_SBC_TEST_PASSWORD", PASSWORD),
        );
        let mut sbc = Sbc {
            running,
            tls,
            sip,
            public,
            private,
            configuration,
            records,
        };
        wait_until("wa-sbc listens", Duration::from_secs(10), || {
            assert!(
                sbc.running.alive(),
                "wa-sbc ended at its start:\n{}",
                sbc.running.tail()
            );
            std::fs::read_to_string("/proc/net/tcp")
                .unwrap_or_default()
                .contains(&hex(tls))
        });
        wait_listening(tls, true);
        wait_listening(sip, false);
        wait_listening(sip, true);
        sbc
    }

    /// The records of calls that have ended so far.
    ///
    /// # Panics
    /// When a line is no JSON.
    pub fn records(&self) -> Vec<serde_json::Value> {
        std::fs::read_to_string(&self.records)
            .unwrap_or_default()
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{error} in record {line}"))
            })
            .collect()
    }

    /// Waits for `count` records and returns them.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    pub fn wait_for_records(&mut self, count: usize, limit: Duration) -> Vec<serde_json::Value> {
        wait_until(&format!("{count} call records"), limit, || {
            self.records().len() >= count
        });
        self.records()
    }

    /// The `sip:` URI of the business number at our host.
    pub fn number_uri() -> String {
        format!("sip:{NUMBER}@{HOST};transport=tls")
    }
}

/// The binary under test: `WA_SBC_BIN`, else that of this workspace beside the test and of its build (usually debug), built when
/// it is not up to date.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("WA_SBC_BIN") {
            let given = PathBuf::from(given);
            let path = if given.is_absolute() {
                given
            } else {
                workspace().join(given)
            };
            assert!(
                path.is_file(),
                "WA_SBC_BIN names no file: {}",
                path.display()
            );
            return path;
        }
        let test = std::env::current_exe().expect("a test has a file");
        let mut beside = test.parent().expect("a file has a directory");
        if beside.ends_with("deps") {
            beside = beside.parent().expect("deps has a parent");
        }
        let path = beside.join("wa-sbc");
        eprintln!(
            "WA_SBC_BIN names no wa-sbc to try: building {}",
            path.display()
        );
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(workspace())
            .args(["build", "--locked", "-p", "wa-sbc"])
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .status()
            .expect("cargo runs this test, so it is there");
        assert!(status.success(), "wa-sbc does not build");
        assert!(path.is_file(), "{} was not built", path.display());
        path
    })
}

fn hex(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!(
            "{:08X}:{:04X}",
            u32::from_le_bytes(ip.octets()),
            address.port()
        ),
        IpAddr::V6(_) => panic!("the loopback addresses of tests are IPv4"),
    }
}
