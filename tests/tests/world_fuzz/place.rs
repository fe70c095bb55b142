//! Where a random world happens: networks, trunks, what the PBX and Meta are like.

use std::sync::Arc;
use std::time::Duration;

use b2bua::Settings;
use b2bua::comfort::{Comfort, EarlyAnswer, Ringback};
use b2bua::profile::SessionPolicy;
use b2bua::settings::{Access, Account, Group, Member, Trunk, Upstream};
use sim::Dice;
use sim::net::Link;
use sim::pbx::knobs::PbxRegistrar;
use sim::scene::*;
use sim::world::{Beginning, Places};
use sip::{Secret, Transport};

/// A host nobody lives at.
pub(crate) const NOWHERE: &str = "10.0.0.99";

pub(crate) fn millis(dice: &mut Dice, most: u64) -> Duration {
    Duration::from_millis(dice.below(most + 1))
}

pub(crate) fn one<T: Clone>(dice: &mut Dice, of: &[T]) -> T {
    of[dice.below(of.len() as u64) as usize].clone()
}

/// The world before anything happens.
pub(crate) fn beginning(seed: u64, dice: &mut Dice, audible: bool) -> Beginning {
    let mut begin = sim::scene::beginning();
    begin.audio = audible;
    begin.seed = seed;
    begin.meta_link = link(dice);
    begin.pbx_link = link(dice);
    begin.meta.challenge.stale_once = dice.happens(0.1);
    begin.meta.challenge.insatiable = dice.happens(0.03);
    begin.meta.shared_connection = dice.happens(0.3);
    let challenge = dice.happens(0.8);
    let patience = secs(3 + dice.below(23));
    with_number(&mut begin.settings, |number| {
        number.challenge = challenge;
        number.no_answer = patience;
    });
    // Before anything is said of the trunk: it is copied.
    begin.move_to(places(dice));
    let over_tcp = dice.happens(0.3);
    if over_tcp {
        begin.pbx.sbc.transport = Transport::Tcp;
    }
    let session = dice.happens(0.3).then(|| one(dice, &[90, 120, 1_800]));
    let comfort = comfort(dice);
    let transfers = dice.happens(0.7);
    with_trunk(&mut begin.settings, |trunk| {
        if over_tcp {
            trunk.target.transport = Transport::Tcp;
        }
        let extensions = &mut Arc::make_mut(&mut trunk.profile).extensions;
        extensions.transfer = transfers;
        extensions.session_timer = Some(SessionPolicy {
            ask: session,
            least: 90,
        });
        trunk.comfort = comfort;
    });
    match dice.below(10) {
        0 => registers_with_us(&mut begin),
        1 => knows_us(&mut begin, dice),
        _ => trunks(&mut begin.settings, dice),
    }
    begin
}

/// Where everybody lives: mostly where all other scenes have them; else the PBX behind a NAT that knows nothing of SIP, or
/// either side, or both, on IPv6.
fn places(dice: &mut Dice) -> Places {
    let usual = Places::default();
    match dice.below(10) {
        0 => usual.with_pbx_behind_nat(),
        1 => usual.with_pbx_on_ipv6(),
        2 => usual.with_meta_on_ipv6(),
        3 => usual.with_meta_on_ipv6().with_pbx_on_ipv6(),
        _ => usual,
    }
}

/// The account of a PBX with us, and of us with a PBX.
pub(crate) const ACCOUNT: (&str, &str) = ("desk", "pY7mQ2vX9kT4");

fn account() -> Account {
    Account {
        username: ACCOUNT.0.into(),
        password: Secret::new(ACCOUNT.1.into()),
    }
}

/// The trunk is whoever has the account, and is called where it has registered.
fn registers_with_us(begin: &mut Beginning) {
    with_trunk(&mut begin.settings, |trunk| {
        trunk.networks.clear();
        trunk.access = Access {
            account: Some(account()),
            registers: true,
            upstream: None,
        };
    });
    begin.settings.registrar.realm = "pbx.meta-voip.example.com".into();
    carriers(&mut begin.settings);
    begin.pbx.account = Some((ACCOUNT.0.into(), ACCOUNT.1.into()));
}

/// The PBX knows us as an extension of its, and may challenge our calls.
fn knows_us(begin: &mut Beginning, dice: &mut Dice) {
    with_trunk(&mut begin.settings, |trunk| {
        trunk.networks.clear();
        trunk.access = Access {
            account: None,
            registers: false,
            upstream: Some(Upstream {
                servers: vec![trunk.target.clone()],
                domain: "pbx.example.com".into(),
                extension: ACCOUNT.0.into(),
                account: account(),
                expires: secs(600),
            }),
        };
    });
    carriers(&mut begin.settings);
    let mut registrar = PbxRegistrar::new(ACCOUNT.0, ACCOUNT.1);
    registrar.challenges_calls = dice.happens(0.5);
    begin.pbx.registrar = Some(registrar);
}

/// Where Meta calls from, in both families.
fn carriers(settings: &mut Settings) {
    let networks = ["69.171.224.0/19", "2a03:2880::/32"].iter();
    settings.carrier.networks = networks.filter_map(|net| net.parse().ok()).collect();
}

fn link(dice: &mut Dice) -> Link {
    let mut link = Link::after(millis(dice, 150));
    if dice.happens(0.4) {
        link.jitter = millis(dice, 100);
        link.loss = one(dice, &[0.0, 0.01, 0.05, 0.2]);
        link.doubled = one(dice, &[0.0, 0.1, 0.5]);
        link.overtaken = one(dice, &[0.0, 0.1]);
    }
    link
}

fn comfort(dice: &mut Dice) -> Comfort {
    let early = [
        EarlyAnswer::Never,
        EarlyAnswer::Never,
        EarlyAnswer::EarlyMedia,
        EarlyAnswer::AtOnce,
    ];
    let tone = sdp::plan::Sound::new(vec![0_i16; 800]).map_or(Ringback::Off, Ringback::Tone);
    Comfort {
        ringback: one(dice, &[Ringback::Off, Ringback::Ringing, tone]),
        early_answer: one(dice, &early),
        ..Comfort::default()
    }
}

/// One trunk, one with a backup, or a group in which the first may be out of order.
fn trunks(settings: &mut Settings, dice: &mut Dice) {
    match dice.below(10) {
        0 => with_trunk(settings, |trunk| {
            let real = trunk.target.clone();
            trunk.target.host = NOWHERE.into();
            trunk.backups = vec![real];
        }),
        which @ 1..=3 => {
            let spare = Trunk {
                name: "spare".into(),
                ..(*settings.trunks[0]).clone()
            };
            if which == 1 {
                with_trunk(settings, |trunk| trunk.target.host = NOWHERE.into());
            }
            settings.trunks.push(Arc::new(spare));
            let second = 1 + dice.below(2) as u16;
            let member = |trunk: &str, priority| Member {
                trunk: trunk.into(),
                priority,
                weight: 1,
            };
            settings.groups.push(Group {
                name: "all".into(),
                members: vec![member("office", 1), member("spare", second)],
            });
            with_number(settings, |number| number.trunk = "all".into());
        }
        _ => {}
    }
}
