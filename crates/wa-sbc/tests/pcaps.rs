//! Every capture under pcaps/ replayed: what comes of it is what its expect.txt says, and the core acts as
//! it acted when it was captured. `make pcap` runs this and nothing else.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wa_sbc::pcap;
use wa_sbc::replay::{Scene, replay};

fn scenes() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps");
    let mut scenes: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("pcaps/ is there")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("call.pcapng").exists())
        .collect();
    scenes.sort();
    scenes
}

fn scene_of(directory: &Path) -> (Vec<u8>, Scene) {
    let file = std::fs::read(directory.join("call.pcapng")).expect("readable");
    let text = std::fs::read_to_string(directory.join("scene.toml")).expect("readable");
    (file, Scene::read(&text).expect("a scene"))
}

#[test]
fn every_capture_comes_to_what_is_expected_of_it_within_a_minute() {
    let started = Instant::now();
    let scenes = scenes();
    assert!(scenes.len() >= 20, "{} scenes", scenes.len());
    let mut wrong = Vec::new();
    for directory in &scenes {
        let (file, scene) = scene_of(directory);
        let came = replay(&file, &scene).expect("a capture").to_string();
        let expected = std::fs::read_to_string(directory.join("expect.txt")).expect("readable");
        if came != expected {
            wrong.push(format!(
                "── {} ──\nexpected\n{expected}\ncame\n{came}",
                directory.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let took = started.elapsed();
    println!("{} captures replayed in {took:.1?}", scenes.len());
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn every_directory_is_a_scene_with_a_capture_and_expectations_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps");
    let mut captured = 0;
    for directory in std::fs::read_dir(root).expect("pcaps/ is there").flatten() {
        if !directory.path().is_dir() {
            continue;
        }
        captured += 1;
        let files = std::fs::read_dir(directory.path())
            .expect("readable")
            .flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name()).collect();
        names.sort();
        let whole = ["call.pcapng", "expect.txt", "scene.toml"];
        assert_eq!(names, whole, "{}", directory.path().display());
    }
    assert_eq!(captured, scenes().len());
}

#[test]
fn a_core_that_acts_otherwise_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps");
    let (file, mut scene) = scene_of(&root.join("user-calls"));
    scene.challenge = false;
    let without = replay(&file, &scene).expect("a capture");
    assert!(
        without.differences.iter().any(|line| line.contains("407")),
        "{without}"
    );
    scene.challenge = true;
    scene.pbx_codecs = vec!["opus".into()];
    let deaf = replay(&file, &scene).expect("a capture");
    assert!(
        !deaf.differences.is_empty() && deaf.to_string().contains("no_common_media"),
        "{deaf}"
    );
}

/// What tcpdump makes of the same packets: no comments, and the older format.
#[test]
fn a_capture_without_a_word_of_ours_is_replayed_as_well() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps");
    for name in ["user-calls", "agent-calls"] {
        let (file, scene) = scene_of(&root.join(name));
        let mut plain = vec![
            0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
        ];
        for packet in pcap::read(&file).expect("a capture") {
            let since = packet
                .at
                .duration_since(std::time::UNIX_EPOCH)
                .expect("after 1970");
            let length = (packet.bytes.len() as u32).to_le_bytes();
            plain.extend((since.as_secs() as u32).to_le_bytes());
            plain.extend(since.subsec_micros().to_le_bytes());
            plain.extend([length, length].concat());
            plain.extend(&packet.bytes);
        }
        let (ours, theirs) = (replay(&file, &scene), replay(&plain, &scene));
        let (ours, theirs) = (ours.expect("a capture"), theirs.expect("a capture"));
        assert!(theirs.differences.is_empty(), "{theirs}");
        assert_eq!(ours.audio, theirs.audio);
        assert_eq!(ours.records, theirs.records);
    }
}
