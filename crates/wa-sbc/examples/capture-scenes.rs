//! Writes the captures under pcaps/ anew, from the simulated world: `make capture-scenes`.
//!
//! Whoever runs this looks at the difference it makes: expect.txt is what the core does *now*, and the last
//! paragraph of each has to be `nothing`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sdp::Codec;
use sim::meta::digest::Hash;
use sim::scene::*;
use sim::world::{Beginning, Party, World};
use wa_sbc::replay::{Scene, capture, replay};

/// A scene: its name, what it shows, what differs from the usual world, and what happens.
struct Shot {
    name: &'static str,
    about: &'static str,
    beginning: fn(&mut Beginning),
    scene: fn(&mut Scene),
    happens: fn(&mut World),
}

fn usual(_: &mut Beginning) {}

fn plain(_: &mut Scene) {}

/// A call of the user that is answered and talks so long.
fn talks(world: &mut World, seconds: u64) {
    world.pbx.script(agent_answers(ms(400)));
    world.user_calls(user().hanging_up_after(secs(seconds)));
}

fn refused(world: &mut World, status: u16, text: &str) {
    world.meta.script(meta_refuses(status, text));
    world.agent_calls(agent());
}

const SHOTS: &[Shot] = &[
    Shot {
        name: "user-calls",
        about: "A user calls, the agent answers, both talk, the user hangs up.",
        beginning: usual,
        scene: plain,
        happens: |w| talks(w, 3),
    },
    Shot {
        name: "user-calls-unchallenged",
        about: "The same without a challenge of ours.",
        beginning: |b| with_number(&mut b.settings, |n| n.challenge = false),
        scene: |s| s.challenge = false,
        happens: |w| talks(w, 2),
    },
    Shot {
        name: "agent-calls",
        about: "An agent calls, Meta challenges with SHA-256 and MD5, the user answers, the agent hangs up.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.meta.script(user_answers(ms(400)));
            w.agent_calls(agent().hanging_up_after(secs(3)));
        },
    },
    Shot {
        name: "agent-calls-md5",
        about: "An agent calls, Meta challenges with MD5 alone.",
        beginning: |b| b.meta.challenge.hashes = vec![Hash::Md5],
        scene: plain,
        happens: |w| {
            w.meta.script(user_answers(ms(400)));
            w.agent_calls(agent().hanging_up_after(secs(2)));
        },
    },
    Shot {
        name: "user-wrong-password",
        about: "Somebody calls as Meta with a wrong digest answer.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            let mut call = user();
            call.wrong_password = Some("not-the-password".into());
            w.user_calls(call);
        },
    },
    Shot {
        name: "user-gives-up",
        about: "The user cancels while the PBX rings.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.pbx.script(nobody_answers());
            w.user_calls(user().giving_up_after(secs(2)));
        },
    },
    Shot {
        name: "agent-gives-up",
        about: "The agent cancels while the user's phone rings.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.meta.script(user_answers(secs(60)));
            w.agent_calls(agent().giving_up_after(secs(2)));
        },
    },
    Shot {
        name: "refused-permission",
        about: "Meta: no call permission of the user.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            refused(
                w,
                403,
                "No Approved Call Permission Found: No approved call permission from the recipient",
            )
        },
    },
    Shot {
        name: "refused-server",
        about: "Meta: our From names a server it does not know for the number.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            refused(
                w,
                403,
                "SIP server meta-voip.example.com from INVITE does not match any SIP server configured for phone number id 106540352242922",
            )
        },
    },
    Shot {
        name: "refused-app",
        about: "Meta: the app is not allowed to use the number.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            refused(
                w,
                403,
                "The app 634974688087057 configured for SIP server meta-voip.example.com is not authorized for phone number id 106540352242922",
            )
        },
    },
    Shot {
        name: "refused-limit",
        about: "Meta: the limit of connected calls of a day.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            refused(
                w,
                403,
                "Business Initiated Connected Call Per Day Limit Hit",
            )
        },
    },
    Shot {
        name: "refused-duplicate",
        about: "Meta: the user has a call with us already.",
        beginning: usual,
        scene: plain,
        happens: |w| refused(w, 403, "Duplicate call"),
    },
    Shot {
        name: "refused-digest",
        about: "Meta: the digest answer is wrong.",
        beginning: usual,
        scene: plain,
        happens: |w| refused(w, 403, "Invalid digest auth response"),
    },
    Shot {
        name: "refused-uri",
        about: "Meta: the digest uri is not that of To.",
        beginning: usual,
        scene: plain,
        happens: |w| refused(w, 403, "Proxy auth uri does not match SIP 'to' uri"),
    },
    Shot {
        name: "refused-payment",
        about: "Meta: the business cannot be billed.",
        beginning: usual,
        scene: plain,
        happens: |w| refused(w, 403, "Business eligibility payment issue"),
    },
    Shot {
        name: "refused-sdp",
        about: "Meta: it does not like the SDP.",
        beginning: usual,
        scene: plain,
        happens: |w| refused(w, 403, "SDP Validation Error"),
    },
    Shot {
        name: "refused-not-found",
        about: "Meta: no such user.",
        beginning: usual,
        scene: plain,
        happens: |w| refused(w, 404, "Not found"),
    },
    Shot {
        name: "user-busy",
        about: "The user declines.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.meta.script(user_refuses(secs(1), 486, "Busy Here"));
            w.agent_calls(agent());
        },
    },
    Shot {
        name: "pbx-busy",
        about: "The PBX is busy.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.pbx.script(pbx_refuses(ms(200), 486, "Busy Here"));
            w.user_calls(user());
        },
    },
    Shot {
        name: "pbx-never-answers",
        about: "The PBX rings until our patience ends.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.pbx.script(nobody_answers());
            w.user_calls(user());
        },
    },
    Shot {
        name: "hold",
        about: "The agent holds the user and comes back.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            talks(w, 5);
            w.pass(secs(2));
            w.now(|w, now| w.pbx.hold(now, None, true));
            w.pass(ms(1_500));
            w.now(|w, now| w.pbx.hold(now, None, false));
        },
    },
    Shot {
        name: "digits",
        about: "Both press digits.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            let mut script = agent_answers(ms(400));
            (script.talk.digits_after, script.talk.digits) = (Some(ms(1_500)), "17*".into());
            w.pbx.script(script);
            w.user_calls(user().pressing(ms(700), "42#").hanging_up_after(secs(4)));
        },
    },
    Shot {
        name: "record-route-lost",
        about: "A box on the way takes a Record-Route out of our 200: no ACK, 32 seconds.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.tamper(|from, to, text| {
                let ours =
                    from == Party::Sbc && to == Party::Meta && text.starts_with("SIP/2.0 200");
                let inner =
                    "Record-Route: <sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>\r\n";
                Some(if ours {
                    text.replace(inner, "")
                } else {
                    text.to_owned()
                })
            });
            talks(w, 60);
        },
    },
    Shot {
        name: "loss",
        about: "Five of a hundred packets of the agent are lost.",
        beginning: |b| b.pbx_link.loss = 0.05,
        scene: plain,
        happens: |w| talks(w, 4),
    },
    Shot {
        name: "agent-mute",
        about: "The agent's telephone stops sending; the user is kept in the call.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            let mut script = agent_answers(ms(400));
            script.talk.mute_after = Some(secs(1));
            w.pbx.script(script);
            w.user_calls(user().hanging_up_after(secs(4)));
        },
    },
    Shot {
        name: "bsuid",
        about: "A user without a number, named by a business-scoped id.",
        beginning: usual,
        scene: plain,
        happens: |w| {
            w.pbx.script(agent_answers(ms(400)));
            let mut call = user().hanging_up_after(secs(2));
            call.caller = "US.13491208655302741918".into();
            w.user_calls(call);
        },
    },
    Shot {
        name: "g711",
        about: "PCMA on both legs, nothing transcoded.",
        beginning: |b| {
            for number in &mut b.meta.numbers {
                number.g711 = true;
            }
            with_number(&mut b.settings, |n| {
                n.codecs = vec![Codec::Pcma, Codec::TelephoneEvent]
            });
        },
        scene: |s| s.meta_codecs = vec!["PCMA".into(), "telephone-event".into()],
        happens: |w| talks(w, 2),
    },
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps");
    let mut bad = 0;
    for shot in SHOTS {
        let mut world = world_with(shot.beginning);
        world.crossings = Some(Vec::new());
        (shot.happens)(&mut world);
        let quiet = world.until_quiet(secs(300));
        let crossings = world.crossings.take().unwrap_or_default();
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let file = capture(&crossings, began).expect("memory");
        let mut scene = Scene {
            about: shot.about.into(),
            ..Scene::default()
        };
        (shot.scene)(&mut scene);
        let outcome = replay(&file, &scene).expect("a capture of ours");
        let directory = root.join(shot.name);
        std::fs::create_dir_all(&directory).expect("pcaps can be written");
        let put = |name: &str, bytes: &[u8]| {
            std::fs::write(directory.join(name), bytes).expect("pcaps can be written");
        };
        put("call.pcapng", &file);
        put("scene.toml", scene.print().as_bytes());
        put("expect.txt", outcome.to_string().as_bytes());
        let same = outcome.differences.is_empty() && quiet;
        bad += u32::from(!same);
        let verdict = if same { "same" } else { "OTHERWISE" };
        println!(
            "{verdict:<9} {:<26} {:>8} bytes  {:?}",
            shot.name,
            file.len(),
            outcome.differences
        );
    }
    assert_eq!(bad, 0, "a replay differs from what was captured");
}
