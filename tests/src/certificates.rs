//! A throw-away certificate authority and the certificates it signs.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use crate::place::Place;

/// An authority whose certificate lies in the test's directory.
pub struct Authority {
    /// The authority's certificate, PEM.
    pub certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, PEM files.
pub struct Identity {
    /// The certificate, followed by the authority's.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Key and certificate in one file, as baresip wants them.
    pub both: PathBuf,
}

impl Authority {
    /// A new authority; its certificate is `ca.pem` in the test's directory.
    ///
    /// # Panics
    /// When the certificate cannot be made or written.
    pub fn new(place: &Place) -> Authority {
        let key = KeyPair::generate().expect("a P-256 key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names, nothing to refuse");
        params
            .distinguished_name
            .push(DnType::CommonName, "wa-sbc test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        let path = place.write("ca.pem", certificate.pem());
        Authority {
            certificate: path,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for `names`, in the files `<names[0]>.pem` and `<names[0]>.key`. Names that are addresses become
    /// address entries.
    ///
    /// # Panics
    /// When the certificate cannot be made or written.
    pub fn identity(&self, place: &Place, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a P-256 key");
        let mut params =
            CertificateParams::new(Vec::new()).expect("no names yet, nothing to refuse");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().expect("a host name")),
            })
            .collect();
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a signed certificate");
        let chain = certificate.pem();
        Identity {
            certificate: place.write(&format!("{}.pem", names[0]), &chain),
            key: place.write(&format!("{}.key", names[0]), key.serialize_pem()),
            both: place.write(
                &format!("{}.both", names[0]),
                format!("{}{chain}", key.serialize_pem()),
            ),
        }
    }
}
