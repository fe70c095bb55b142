//! `[acme]`.

use super::{MINIMAL, read};

#[test]
fn an_authority_gives_the_certificate_of_the_port_for_meta_once_its_terms_are_agreed_to() {
    let with = |lines: &str| read(&format!("{MINIMAL}\n[acme]\n{lines}\n"));
    let directory = "directory = \"https://acme.example.com/dir\"";
    let settings = with(&format!("{directory}\nagree = true")).unwrap_or_else(|e| panic!("{e}"));
    let acme = settings.acme.expect("an authority");
    let tls = settings.tls.expect("a port");
    assert_eq!(acme.names, [tls.host]);
    assert_eq!((acme.certificate, acme.key), (tls.certificate, tls.key));
    assert!(
        read(MINIMAL).expect("valid").acme.is_none(),
        "off unless written"
    );
    let error = with(directory).map(|_| ()).expect_err("not agreed");
    assert!(
        error.contains("acme.agree") && error.contains("agree = true"),
        "{error}"
    );
    let plain = with("directory = \"http://acme.example.com\"\nagree = true");
    assert!(
        plain
            .map(|_| ())
            .expect_err("in the clear")
            .contains("acme.directory")
    );
}
