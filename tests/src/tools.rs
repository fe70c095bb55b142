//! Which independent programs are here. A missing one is an error where nothing may be skipped (`CI=true` or
//! `WA_SBC_REQUIRE_TOOLS=1`); elsewhere the test says so and `make test` repeats it at its end.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether every one of `programs` is here, so that the story can be played.
///
/// # Panics
/// When one is missing where nothing may be skipped.
pub fn present(story: &str, programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| find(program).is_none())
        .collect();
    if missing.is_empty() {
        return true;
    }
    skip(story, &format!("{} not installed", missing.join(", ")))
}

/// Says that `story` is skipped because of `why`; always `false`.
///
/// # Panics
/// Where nothing may be skipped.
pub fn skip(story: &str, why: &str) -> bool {
    let strict = std::env::var("CI").as_deref() == Ok("true")
        || std::env::var("WA_SBC_REQUIRE_TOOLS").as_deref() == Ok("1");
    assert!(
        !strict,
        "{story}: {why}, and nothing may be skipped here; run: make install-tools"
    );
    cannot(story, why)
}

/// Says that `story` cannot be played on a machine like this one because of `why`, which no package would mend; always
/// `false`. `make test` repeats it at its end.
pub fn cannot(story: &str, why: &str) -> bool {
    let notice = format!("{story} ({why})");
    eprintln!("skipped: {notice}");
    if let Some(path) = std::env::var_os("WA_SBC_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
    {
        let _ = writeln!(file, "{notice}");
    }
    false
}

/// Whether this user may capture on the loopback interface.
///
/// # Panics
/// Where nothing may be skipped and it may not.
pub fn may_capture(story: &str) -> bool {
    if !present(story, &["tshark"]) {
        return false;
    }
    let allowed = std::process::Command::new(find("tshark").expect("looked for above"))
        .args([
            "-i",
            "lo",
            "-a",
            "duration:1",
            "-c",
            "1",
            "-f",
            "udp port 1",
        ])
        .output()
        .is_ok_and(|output| output.status.success());
    allowed || skip(story, "tshark may not capture without root")
}

/// The program in `PATH` or one of the directories of system programs.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin"].iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| Path::is_file(candidate))
}

/// The directory that holds `file`, looked for below `/usr/lib` one level deep (Debian's multi-arch directories).
pub fn library_directory(file: &str) -> Option<PathBuf> {
    let root = Path::new("/usr/lib");
    let nested = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    std::iter::once(root.to_path_buf())
        .chain(nested)
        .map(|directory| directory.join(file))
        .find(|candidate| candidate.is_file())
        .and_then(|found| found.parent().map(Path::to_path_buf))
}
