//! The small language of scenes: a usual world, usual calls, and questions about how it went.
//!
//! ```
//! use std::time::Duration;
//! use sim::scene::{secs, silent_world, user};
//!
//! let mut world = silent_world();
//! world.user_calls(user().hanging_up_after(secs(10)));
//! let story = world.story(secs(60));
//! assert_eq!(story.record().cause.label(), "normal");
//! ```

mod plans;
mod settings;
mod story;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sdp::Codec;

pub use self::plans::{
    agent, agent_answers, meta_refuses, nobody_answers, pbx_refuses, user, user_answers,
    user_refuses,
};
pub use self::settings::{settings, with_number, with_trunk};
pub use self::story::Story;
use crate::meta::knobs::{BusinessNumber, MediaPlace, MetaSettings};
use crate::net::Link;
use crate::pbx::knobs::PbxSettings;
use crate::world::{Beginning, Places, World};

/// The business number of every usual scene.
pub const NUMBER: &str = "+17125550259";
/// The WhatsApp user.
pub const USER: &str = "+12195550714";
/// The SIP server configured for the number.
pub const HOST: &str = "meta-voip.example.com";
/// Its SIP password.
pub const PASSWORD: &str = "9fT3kWq7ZsL2xVb8Rm4N";
/// What the user says, Hz.
pub const USER_TONE: f64 = 1_000.0;
/// What the agent says, Hz.
pub const AGENT_TONE: f64 = 400.0;

/// Seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The usual beginning: one number, one trunk over UDP, Opus toward Meta, A-law toward the PBX,
/// 20 ms to Meta, 1 ms to the PBX, audio on.
pub fn beginning() -> Beginning {
    let address = |ip: [u8; 4]| IpAddr::from(ip);
    let pbx_sip = SocketAddr::new(address([10, 0, 0, 20]), 5060);
    let sbc_private = SocketAddr::new(address([10, 0, 0, 5]), 5060);
    let place = |ip, first_port| MediaPlace {
        address: address(ip),
        first_port,
        ports: 10_000,
        silent: false,
    };
    Beginning {
        settings: settings(),
        meta: MetaSettings {
            numbers: vec![BusinessNumber::new(NUMBER, HOST, 5061, PASSWORD)],
            media: place([157, 240, 19, 130], 3480),
            ..MetaSettings::default()
        },
        pbx: PbxSettings {
            media: place([10, 0, 0, 20], 40_000),
            codecs: vec![Codec::Pcma, Codec::TelephoneEvent],
            ..PbxSettings::new(pbx_sip, sbc_private)
        },
        meta_link: Link::default(),
        pbx_link: Link::after(ms(1)),
        places: Places::default(),
        audio: true,
        seed: 1,
    }
}

/// The usual world with audio.
pub fn world() -> World {
    World::new(beginning())
}

/// The usual world, signalling only.
pub fn silent_world() -> World {
    World::new(Beginning {
        audio: false,
        ..beginning()
    })
}

/// The usual world with something changed.
pub fn world_with(change: impl FnOnce(&mut Beginning)) -> World {
    let mut beginning = beginning();
    change(&mut beginning);
    World::new(beginning)
}

/// The usual world, signalling only, with something changed.
pub fn silent_world_with(change: impl FnOnce(&mut Beginning)) -> World {
    world_with(|beginning| {
        beginning.audio = false;
        change(beginning);
    })
}

/// A message with its Content-Length made right again after its body was changed on the way.
pub fn refitted(text: &str) -> String {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return text.to_owned();
    };
    let lines: Vec<String> = head
        .split("\r\n")
        .map(|line| match line.split_once(':') {
            Some((name, _)) if name.trim().eq_ignore_ascii_case("content-length") => {
                format!("{name}: {}", body.len())
            }
            _ => line.to_owned(),
        })
        .collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
