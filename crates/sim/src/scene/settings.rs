//! The usual settings of the core, and changes to them.

use std::sync::Arc;

use b2bua::profile::PBX;
use b2bua::settings::{
    AdmissionPolicy, Carrier, MetadataPass, Number, NumberLimits, Trunk, TrunkPolicy,
};
use b2bua::{E164, Settings};
use sdp::{Codec, Suite};
use sip::{Secret, Target, TimerSettings, Transport};

use super::{HOST, NUMBER, PASSWORD, secs};

/// The settings of the core in the usual beginning.
pub fn settings() -> Settings {
    let target = |transport, host: &str, port| Target {
        transport,
        host: host.into(),
        port,
        from: None,
        at: None,
    };
    let number = Number {
        e164: E164::parse(NUMBER).unwrap_or_else(|| unreachable!("{NUMBER} is a number")),
        host: HOST.into(),
        port: 5061,
        domain: HOST.into(),
        realm: HOST.into(),
        username: NUMBER.trim_start_matches('+').into(),
        password: Some(Secret::new(PASSWORD.to_owned())),
        challenge: true,
        plus: true,
        trunk: "office".into(),
        routes: Vec::new(),
        codecs: vec![Codec::Opus, Codec::TelephoneEvent],
        suites: vec![Suite::AesCm128HmacSha1_80],
        no_answer: secs(25),
        ring_limit: secs(60),
        limits: NumberLimits::default(),
    };
    let trunk = Trunk {
        transports: Vec::new(),
        backups: Vec::new(),
        ping: None,
        name: "office".into(),
        profile: Arc::new(PBX),
        target: target(Transport::Udp, "10.0.0.20", 5060),
        domain: "10.0.0.20".into(),
        sent_by: "10.0.0.5:5060".into(),
        networks: "10.0.0.20/32".parse().into_iter().collect(),
        codecs: vec![Codec::Pcma, Codec::TelephoneEvent],
        ptime: 20,
        media: Default::default(),
        max_calls: 1_000,
        pstn: false,
        access: Default::default(),
        comfort: Default::default(),
        policy: TrunkPolicy::default(),
    };
    Settings {
        node: 1,
        carrier: Carrier {
            profile: Arc::new(whatsapp::META),
            domain: "wa.meta.vc".into(),
            target: target(Transport::Tls, "wa.meta.vc", 5061),
            networks: Vec::new(),
            ptime: 20,
            rtcp_mux: true,
        },
        numbers: vec![Arc::new(number)],
        trunks: vec![Arc::new(trunk)],
        groups: Vec::new(),
        aliases: None,
        timers: TimerSettings::default(),
        nonce_ttl: secs(60),
        max_calls: 1_000,
        admission: AdmissionPolicy::default(),
        registrar: Default::default(),
        metadata: MetadataPass {
            enabled: true,
            prefix: "X-WA-".into(),
            reference: "X-WA-Call-Id".into(),
        },
        product: "wa-sbc".into(),
    }
}

/// Changes the one number of the usual settings.
pub fn with_number(settings: &mut Settings, change: impl FnOnce(&mut Number)) {
    if let Some(number) = settings.numbers.first_mut() {
        change(Arc::make_mut(number));
    }
}

/// Changes the one trunk of the usual settings.
pub fn with_trunk(settings: &mut Settings, change: impl FnOnce(&mut Trunk)) {
    if let Some(trunk) = settings.trunks.first_mut() {
        change(Arc::make_mut(trunk));
    }
}
