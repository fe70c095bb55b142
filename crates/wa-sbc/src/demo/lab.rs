//! What the three programs need before they can start: names, ports, certificates, a configuration.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;

use super::DemoError;

/// The business number.
pub(super) const NUMBER: &str = "+17125550259";
/// The name of the SBC.
pub(super) const HOST: &str = "sbc.example.com";

/// The addresses of a demo: each party has its own, and no two demos share one.
#[derive(Clone, Copy)]
struct Loopback {
    meta: IpAddr,
    /// The SBC's, towards Meta.
    public: IpAddr,
    /// The SBC's, towards the PBX.
    private: IpAddr,
    pbx: IpAddr,
}

impl Loopback {
    /// A block of 127.0.0.0/8 chosen by chance, so that demos side by side keep out of each other's way.
    fn chosen_by(random: [u8; 2]) -> Self {
        let address = |host| IpAddr::V4(Ipv4Addr::new(127, random[0] | 0x80, random[1], host));
        Self {
            meta: address(1),
            public: address(11),
            private: address(12),
            pbx: address(21),
        }
    }
}

/// A directory with everything, gone when this is dropped.
pub(super) struct Lab {
    directory: PathBuf,
    addresses: Loopback,
    /// Where the simulated Meta listens.
    pub(super) meta: SocketAddr,
    /// Where the SBC listens for Meta.
    pub(super) tls: SocketAddr,
    /// Where the SBC listens for the PBX.
    pub(super) udp: SocketAddr,
    /// Where the simulated PBX listens.
    pub(super) pbx: SocketAddr,
    /// The SIP password of the number, made up for this run.
    pub(super) password: String,
}

impl Lab {
    /// Makes everything.
    pub(super) fn new() -> Result<Self, DemoError> {
        let mut random = [0; 14];
        let filled = ring::default_provider().secure_random.fill(&mut random);
        filled.map_err(|_| DemoError::Prepare("the system gives no random numbers".into()))?;
        let password: String = random[..12]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let directory = std::env::temp_dir().join(format!(
            "wa-sbc-demo-{}-{}",
            std::process::id(),
            &password[..6]
        ));
        private_directory(&directory).map_err(|error| prepare(&directory, error))?;
        let addresses = Loopback::chosen_by([random[12], random[13]]);
        let lab = Self {
            directory,
            addresses,
            meta: free_tcp(addresses.meta)?,
            tls: free_tcp(addresses.public)?,
            udp: free_udp(addresses.private)?,
            pbx: free_udp(addresses.pbx)?,
            password,
        };
        lab.certificates()?;
        lab.write("wa-sbc.toml", &lab.configuration())?;
        Ok(lab)
    }

    /// The path of a file in the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn certificates(&self) -> Result<(), DemoError> {
        let made = || {
            let mut parameters = CertificateParams::default();
            parameters
                .distinguished_name
                .push(DnType::CommonName, "Throw-away authority of wa-sbc demo");
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
            let mut files = vec![("ca.pem".to_owned(), authority.pem())];
            for (party, host) in [("sbc", HOST), ("meta", whatsapp::facts::DOMAIN)] {
                let key = KeyPair::generate()?;
                let certificate =
                    CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &authority)?;
                files.push((format!("{party}.pem"), certificate.pem()));
                files.push((format!("{party}.key"), key.serialize_pem()));
            }
            Ok::<_, rcgen::Error>(files)
        };
        let files = made().map_err(|error| DemoError::Prepare(format!("certificates: {error}")))?;
        files
            .iter()
            .try_for_each(|(name, text)| self.write(name, text))
    }

    fn configuration(&self) -> String {
        let file = |name: &str| self.path(name).display().to_string();
        format!(
            r#"[sip]
host = "{HOST}"
tls = {{ listen = "{tls}", certificate = "{certificate}", key = "{key}" }}
udp = {{ listen = "{udp}" }}

[media]
public = "{public}"
private = "{private}"
ports = "30000-30999"

[meta]
connect = "{meta}"
extra_ca = "{authority}"
networks = ["{carrier}/32"]

[[number]]
e164 = "{NUMBER}"
password = {{ env = "WA_SIP_PASSWORD" }}
trunk = "office"

[[trunk]]
name = "office"
peer = "sip:{pbx};transport=udp"
codecs = ["PCMA", "telephone-event"]

[records]
stdout = true

[log]
filter = "wa_sbc::ladder=debug,info"
format = "json"
"#,
            public = self.addresses.public,
            private = self.addresses.private,
            carrier = self.addresses.meta,
            tls = self.tls,
            certificate = file("sbc.pem"),
            key = file("sbc.key"),
            udp = self.udp,
            meta = self.meta,
            authority = file("ca.pem"),
            pbx = self.pbx,
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<(), DemoError> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| prepare(&path, error))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Keys lie in it: nobody else looks in.
fn private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn prepare(path: &Path, error: std::io::Error) -> DemoError {
    DemoError::Prepare(format!("{}: {error}", path.display()))
}

fn free_tcp(address: IpAddr) -> Result<SocketAddr, DemoError> {
    let bound = TcpListener::bind((address, 0)).and_then(|socket| socket.local_addr());
    bound.map_err(|error| DemoError::Prepare(format!("no port on {address}: {error}")))
}

/// Free for UDP and for TCP.
fn free_udp(address: IpAddr) -> Result<SocketAddr, DemoError> {
    let bound = || {
        let udp = UdpSocket::bind((address, 0))?.local_addr()?;
        TcpListener::bind(udp).map(|_| udp)
    };
    let mut last = None;
    for _ in 0..16 {
        match bound() {
            Ok(free) => return Ok(free),
            Err(error) => last = Some(error),
        }
    }
    Err(DemoError::Prepare(format!(
        "no port on {address}: {}",
        last.map(|error| error.to_string()).unwrap_or_default()
    )))
}
