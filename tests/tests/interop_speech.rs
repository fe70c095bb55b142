//! Speech is no key: espeak-ng talks for minutes in several languages at a PBX whose keys are tones, through G.711 and
//! Opus, and not one is heard. Keys between the sentences are.

use std::time::{Duration, Instant};

use media::codec::{Encoder, OpusSettings};
use media::rtp::Header;
use media::tone::Tone;
use media::{Channel, EngineSettings, Event, Outbox, Packet, Session};
use sdp::plan::{Gate, LegPlan};
use sdp::{Codec, Direction, Negotiated, Side};
use tests::place::Place;
use tests::tone::Audio;
use tests::tools::present;

/// The voices, each with words full of vowels, whistles and laughter.
const VOICES: [(&str, &str); 6] = [
    (
        "en-gb",
        "We were away a year ago, you know. Oh no, oh no! Eerie owls yelled you are all ears, our hour is over. \
         One hundred and eleven, two hundred and twenty two, seven seven seven. Ha ha ha, hee hee hee, hoo hoo hoo.",
    ),
    (
        "de+f3",
        "Wie viele Ziele liefen sieben Riesen über die Wiese? Uhu, Uhu, oje, oje, jawohl, juhu! \
         Siebenhundertsiebenundsiebzigtausend. Eulen heulen, Möwen schreien, Bienen summen.",
    ),
    (
        "es+m4",
        "¡Ay, ay, ay, ay! Yo oía ahí a la hija huir, y ella iba hacia allá. Uno, dos, tres, cuatro, cinco, seis, siete.",
    ),
    (
        "it+f2",
        "Aiuole, aiuole, io e lei e lui. Gli egli, ahi, ohi, uhi! Millenovecentonovantanove, ventidue, quarantatré.",
    ),
    (
        "hi+f4",
        "नमस्ते, आप कैसे हैं? एक दो तीन चार पाँच छह सात आठ नौ दस. हाँ हाँ हाँ, ओहो, अरे वाह!",
    ),
    (
        "pt-br+m1",
        "Oi, oi, eu ouvi a iaiá e o ioiô lá. Ai, ai, ui, ui! Avião, mãe, põe, muito, quinhentos e cinquenta e cinco.",
    ),
];
/// How often each is said, at these speeds (words a minute) and pitches.
const WAYS: [(u32, u32); 5] = [(90, 20), (130, 99), (160, 50), (200, 80), (260, 65)];

/// What was said, at 8 kHz and as loud as a line carries.
fn said(place: &Place, voice: &str, words: &str, (speed, pitch): (u32, u32)) -> Vec<i16> {
    let file = place.path(&format!("{voice}-{speed}.wav"));
    let done = std::process::Command::new("espeak-ng")
        .args([
            "-v",
            voice,
            "-s",
            &speed.to_string(),
            "-p",
            &pitch.to_string(),
        ])
        .arg("-w")
        .arg(&file)
        .arg(words)
        .status()
        .expect("espeak-ng is there");
    assert!(done.success(), "espeak-ng says nothing as {voice}");
    let audio = Audio::read_wav(&file).expect("a WAV file");
    let step = f64::from(audio.rate) / 8_000.0;
    let count = (audio.samples.len() as f64 / step) as usize;
    // Means over a sample's time: a gentle low pass, as handsets have.
    let mut pcm: Vec<f64> = (0..count)
        .map(|n| {
            let (from, to) = ((n as f64 * step) as usize, ((n + 1) as f64 * step) as usize);
            let part = &audio.samples[from..to.max(from + 1).min(audio.samples.len())];
            part.iter().map(|sample| f64::from(*sample)).sum::<f64>() / part.len().max(1) as f64
        })
        .collect();
    let peak = pcm
        .iter()
        .fold(1.0, |peak: f64, sample| peak.max(sample.abs()));
    pcm.iter_mut().for_each(|sample| *sample *= 28_000.0 / peak);
    pcm.into_iter().map(|sample| sample as i16).collect()
}

fn negotiated(codec: Codec, pt: u8) -> Negotiated {
    Negotiated {
        codec,
        send_pt: pt,
        receive_pt: pt,
        remote_fmtp: None,
    }
}

/// The keys a desk pressed, by a session that hears this of it.
fn keys(codec: Codec, pcm: &[i16]) -> String {
    let start = Instant::now();
    let plan = |codec, pt, tones: bool| {
        let mut plan = LegPlan::nobody();
        plan.agreed.audio = negotiated(codec, pt);
        plan.agreed.remote_rtp = "127.0.0.1:4000".parse().expect("an address");
        plan.agreed.direction = Direction::SendRecv;
        plan.agreed.dtmf = (!tones).then(|| negotiated(Codec::TelephoneEvent, 101));
        plan.gate = Gate::Open;
        plan.care.tones = tones;
        plan
    };
    let plans = [plan(Codec::Opus, 111, false), plan(codec, 96, true)];
    let mut out = Outbox::new();
    let mut session = Session::start(start, plans, &EngineSettings::default(), [3; 32], &mut out)
        .expect("codecs");
    let mut encoder = Encoder::new(codec, &OpusSettings::default()).expect("a codec");
    let (mut packet, mut keys) = (Packet::new(), String::new());
    for (n, part) in pcm.chunks_exact(160).enumerate() {
        let now = start + Duration::from_millis(20 * n as u64);
        let mut bytes = [0; 600];
        let mut header = [0; 12];
        let line = Header {
            marker: n == 0,
            pt: 96,
            sequence: n as u16,
            timestamp: n as u32 * codec.clock() / 50,
            ssrc: 1,
            payload: 12..12,
        };
        line.write(&mut header);
        bytes[..12].copy_from_slice(&header);
        let len = encoder.encode(part, &mut bytes[12..]).expect("a frame");
        packet.fill(&bytes[..12 + len]);
        session.timeout(now, &mut out);
        while session.transmit(now, &mut packet, &mut out).is_some() {}
        packet.fill(&bytes[..12 + len]);
        let source = "127.0.0.1:4000".parse().expect("an address");
        let mut forward =
            session.receive(now, Side::B, Channel::Rtp, source, &mut packet, &mut out);
        while forward.is_some() {
            forward = session.transmit(now, &mut packet, &mut out);
        }
        while let Some(event) = out.event() {
            if let Event::Digit { digit, .. } = event {
                keys.push(digit);
            }
        }
    }
    keys
}

/// A key as a telephone says it.
fn key(low: f64, high: f64) -> Vec<i16> {
    let (mut one, mut other) = (vec![0; 800], vec![0; 800]);
    Tone::new(low, -12.0).fill(&mut one);
    Tone::new(high, -11.0).fill(&mut other);
    one.iter().zip(&other).map(|(a, b)| a + b).collect()
}

#[test]
fn minutes_of_speech_hold_no_key_and_hide_none() {
    let story = "speech-is-no-key";
    if !present(story, &["espeak-ng"]) {
        return;
    }
    let place = Place::new(story);
    let (mut seconds, mut false_keys) = (0, Vec::new());
    let mut between: Vec<i16> = Vec::new();
    for (voice, words) in VOICES {
        for (n, way) in WAYS.into_iter().enumerate() {
            let pcm = said(&place, voice, words, way);
            seconds += pcm.len() / 8_000;
            // Through both codecs where it is slow and where it is shrill.
            for codec in &[Codec::Pcma, Codec::Opus][..1 + usize::from(n < 2)] {
                let heard = keys(*codec, &pcm);
                if !heard.is_empty() {
                    false_keys.push((voice, way, codec, heard));
                }
            }
            between.extend(pcm);
            between.extend([0; 1_600]);
            between.extend(key(852.0, 1_477.0));
            between.extend([0; 1_600]);
        }
    }
    println!(
        "{story}: {seconds} s of speech, {} with keys",
        false_keys.len()
    );
    assert!(false_keys.is_empty(), "{false_keys:#?}");
    assert!(seconds > 240, "{seconds} s are no trial");
    let wanted = "9".repeat(VOICES.len() * WAYS.len());
    assert_eq!(keys(Codec::Pcma, &between), wanted);
}
