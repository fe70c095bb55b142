//! What is given away, made out of the binary under test: the Debian package, the tarballs, `make install`, the recipe for a
//! container; and the document about installing, walked literally in a root of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tests::certificates::Authority;
use tests::place::Place;
use tests::running::workspace;
use tests::sbc::binary;
use tests::tools::{cannot, present};

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

fn done(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    let text = text(&output);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn script(name: &str) -> Command {
    let mut command = Command::new(workspace().join(name));
    command.current_dir(workspace());
    command
}

/// The Debian package, made once.
fn package() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let out = workspace().join("target/places/package");
        let _ = std::fs::remove_dir_all(&out);
        PathBuf::from(done(script("etc/package.sh").arg(binary()).arg(&out)).trim())
    })
}

fn has_dpkg(story: &str) -> bool {
    present(story, &["dpkg-deb", "gzip"])
}

#[test]
fn the_package_names_what_it_needs_and_keeps_the_configuration_of_the_operator() {
    if !has_dpkg("package") {
        return;
    }
    let field = |name: &str| done(Command::new("dpkg-deb").arg("-f").arg(package()).arg(name));
    assert_eq!(field("Package").trim(), "wa-sbc");
    let version = done(Command::new(binary()).arg("--version"));
    assert_eq!(
        format!("wa-sbc {}", field("Version").trim()),
        version.trim()
    );
    assert!(
        field("Depends").contains("libc6 (>= 2."),
        "{}",
        field("Depends")
    );

    let place = Place::new("package-opened");
    let root = place.path("root");
    done(Command::new("dpkg-deb").arg("-R").arg(package()).arg(&root));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect(name);
    assert_eq!(read("DEBIAN/conffiles"), "/etc/wa-sbc/wa-sbc.toml\n");
    for there in [
        "usr/share/man/man1/wa-sbc.1.gz",
        "usr/share/man/man1/wa-sbc-doctor.1.gz",
        "usr/share/man/man5/wa-sbc.toml.5.gz",
        "usr/share/bash-completion/completions/wa-sbc",
        "usr/share/zsh/vendor-completions/_wa-sbc",
        "usr/share/fish/vendor_completions.d/wa-sbc.fish",
        "usr/lib/sysusers.d/wa-sbc.conf",
        "usr/share/doc/wa-sbc/copyright",
        "usr/share/doc/wa-sbc/examples/wa-sbc.toml",
        "usr/share/doc/wa-sbc/examples/prometheus-alerts.yml",
    ] {
        assert!(root.join(there).is_file(), "{there} is missing");
    }
    let listed = done(Command::new("dpkg-deb").arg("-c").arg(package()));
    let strange = listed.lines().find(|line| !line.contains(" root/root "));
    assert_eq!(strange, None, "everything is root's");
    done(
        Command::new("md5sum")
            .args(["--quiet", "-c", "DEBIAN/md5sums"])
            .current_dir(&root),
    );
    // Out of the package, without an installation.
    done(Command::new(root.join("usr/bin/wa-sbc")).arg("--version"));

    if present("unit", &["systemd-analyze"]) {
        let unit = root.join("lib/systemd/system/wa-sbc.service");
        let words = read("lib/systemd/system/wa-sbc.service");
        for line in [
            "ExecStart=/usr/bin/wa-sbc run",
            "Type=notify",
            "WatchdogSec=15",
            "User=wa-sbc",
        ] {
            assert!(words.lines().any(|has| has == line), "{line} is missing");
        }
        // The program is where the unit looks for it only once it is installed.
        let here = place.path("wa-sbc.service");
        let binary = root.join("usr/bin/wa-sbc");
        let words = words.replace("/usr/bin/wa-sbc", &binary.display().to_string());
        std::fs::write(&here, words).expect("writable");
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&here)
            .output();
        let verified = text(&verified.expect("it is there"));
        let about_us: Vec<&str> = verified
            .lines()
            .filter(|line| line.contains("wa-sbc"))
            .collect();
        assert!(about_us.is_empty(), "{about_us:?}");
        // The exposure systemd sees, from 0 to 100.
        let security = ["security", "--offline=true", "--threshold=25", "--no-pager"];
        done(Command::new("systemd-analyze").args(security).arg(&unit));
    }
}

/// What the unit has to say, whether systemd is here to judge it or not.
#[test]
fn the_unit_is_shut_in_knows_when_we_are_ready_and_gives_calls_time_to_end() {
    let unit = std::fs::read_to_string(workspace().join("etc/systemd/wa-sbc.service"));
    let unit = unit.expect("a unit");
    let mut section = "";
    let mut said = std::collections::BTreeMap::<(&str, &str), Vec<&str>>::new();
    for line in unit.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with('#')
        {
            said.entry((section, key)).or_default().push(value);
        }
    }
    let one = |section: &'static str, key: &'static str| -> &str {
        let all = said
            .get(&(section, key))
            .unwrap_or_else(|| panic!("no {key} in [{section}]"));
        assert_eq!(all.len(), 1, "{key} is said once");
        all[0]
    };
    // How it lives: what the program tells by sd_notify is what systemd waits for.
    for (key, value) in [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("WatchdogSec", "15"),
        ("Restart", "on-failure"),
        ("KillMode", "mixed"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("User", "wa-sbc"),
        ("StateDirectory", "wa-sbc"),
        ("LogsDirectory", "wa-sbc"),
        ("RuntimeDirectory", "wa-sbc"),
    ] {
        assert_eq!(one("Service", key), value, "{key}");
    }
    let seconds = |section, key| one(section, key).parse::<u32>().expect("seconds");
    assert!(
        seconds("Service", "TimeoutStopSec") > 60,
        "longer than [sip] drain by itself"
    );
    assert!(
        seconds("Service", "LimitNOFILE") >= 65_536,
        "four sockets a call"
    );
    // Limits of starts belong to the unit, not to the service (systemd.unit(5)).
    assert!(seconds("Unit", "StartLimitIntervalSec") >= 5 * (1 + seconds("Service", "RestartSec")));
    assert_eq!(one("Unit", "StartLimitBurst"), "5");
    // How it is shut in.
    for yes in [
        "NoNewPrivileges",
        "ProtectHome",
        "ProtectClock",
        "ProtectHostname",
        "PrivateTmp",
        "PrivateDevices",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "RemoveIPC",
        "MemoryDenyWriteExecute",
        "LockPersonality",
    ] {
        assert_eq!(one("Service", yes), "yes", "{yes}");
    }
    assert_eq!(one("Service", "ProtectSystem"), "strict");
    assert_eq!(
        one("Service", "CapabilityBoundingSet"),
        "CAP_NET_BIND_SERVICE"
    );
    assert_eq!(one("Service", "SystemCallArchitectures"), "native");
    let families = one("Service", "RestrictAddressFamilies");
    assert!(
        !families.contains("PACKET") && !families.starts_with('~'),
        "{families}"
    );
    let calls = said
        .get(&("Service", "SystemCallFilter"))
        .expect("a filter");
    assert_eq!(calls[..], ["@system-service", "~@privileged"]);
    // Every place the commented configuration writes to is one the unit leaves writable.
    let usual = std::fs::read_to_string(workspace().join("etc/wa-sbc.toml")).expect("there");
    for path in usual
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with("/var/") || word.starts_with("/run/"))
    {
        let given = ["/var/lib/wa-sbc", "/var/log/wa-sbc", "/run/wa-sbc"];
        assert!(
            given.iter().any(|root| path.starts_with(root)),
            "{path} cannot be written"
        );
    }
}

#[test]
fn installed_for_real_the_first_call_comes_as_the_document_says() {
    let story = "install walk";
    if !has_dpkg(story) || !present(story, &["dpkg", "unshare", "chroot", "ip", "runuser"]) {
        return;
    }
    // What the walk needs of the system, tried without a trace.
    let overlay = "mount -t tmpfs none /tmp && mkdir /tmp/u /tmp/w /tmp/r && ip link set lo up && \
                   mount -t overlay overlay -o lowerdir=/,upperdir=/tmp/u,workdir=/tmp/w /tmp/r";
    let namespaces = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "sh", "-c", overlay])
        .status();
    if !namespaces.is_ok_and(|status| status.success()) {
        cannot(
            story,
            "no namespaces, or no overlay of the file system, for this user",
        );
        return;
    }
    let place = Place::new("install-walk");
    let authority = Authority::new(&place);
    let identity = authority.identity(&place, &["sbc.example.com", "wa.meta.vc"]);
    let mut walk = script("tests/install/walk.sh");
    walk.arg(package())
        .arg(workspace().join("docs/install.md"))
        .args([&identity.certificate, &identity.key, &authority.certificate]);
    let output = walk.output().expect("it can be started");
    let said = text(&output);
    place.write("walk.txt", &said);
    let part = |name: &str| -> String {
        let from = said
            .split_once(&format!("== {name}\n"))
            .map_or("", |(_, rest)| rest);
        from.split_once("\n== ")
            .map_or(from, |(part, _)| part)
            .to_owned()
    };
    let document = std::fs::read_to_string(workspace().join("docs/install.md")).expect("there");
    let blocks: Vec<&str> = document
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let number = |words: &str| {
        let at = blocks.iter().position(|block| block.contains(words));
        (at.unwrap_or_else(|| panic!("no block says {words}")) + 1).to_string()
    };
    let ended = |words: &str, status: &str| {
        let number = number(words);
        let part = part(&number);
        assert!(
            part.contains(&format!("-- {number} {status}")),
            "{words}:\n{part}\n{said}"
        );
        part
    };
    let installed = ended("apt install", "0");
    assert!(installed.contains("next: wa-sbc init"), "{installed}");
    let init = ended("wa-sbc init", "0");
    assert!(
        init.contains("mode 0640"),
        "the service reads the password: {init}"
    );
    // Nothing is wrong but what a lab cannot have: a public authority.
    let check = ended("wa-sbc check", "1");
    assert_eq!(check.matches("PROBLEM").count(), 1, "{check}");
    assert!(check.contains("public authority"), "{check}");
    let before = ended("wa-sbc doctor", "1");
    assert!(before.contains("nothing listens"), "{before}");
    assert!(
        before.contains("wa.meta.vc at 203.0.113.99:5061"),
        "{before}"
    );
    let after =
        part(&(number("systemctl enable").parse::<u32>().expect("a number") + 1).to_string());
    assert!(after.contains("sbc.example.com:5061 answers at"), "{after}");
    ended("systemctl enable", "0");
    let logs = part("logs");
    for heard in [
        "\"expected_hz\":400.0,\"tone_found\":true",
        "\"expected_hz\":1000.0,\"tone_found\":true",
    ] {
        assert!(logs.contains(heard), "{heard}: {logs}");
    }
    assert_eq!(
        logs.matches("\"calls\":1,\"answered\":1,").count(),
        2,
        "{logs}"
    );
    let calls = ended("wa-sbc calls", "0");
    assert!(
        calls.contains("17125550259") && calls.contains("normal"),
        "{calls}"
    );
    assert!(
        calls.contains("INVITE SDP") && calls.contains("200 (INVITE) SDP"),
        "the ladder: {calls}"
    );

    // Five minutes from the package to the first call: what the machine takes, and reading all of it at 200 words a
    // minute, which is slow, or typing the blocks without copying one at 200 letters a minute.
    let machine: usize = part("took").trim().parse().expect("seconds");
    let before = document.split("## Upgrade").next().expect("a beginning");
    let reading = before.split_whitespace().count() * 60 / 200;
    let typing = blocks.iter().map(|block| block.len()).sum::<usize>() * 60 / 200;
    println!(
        "install walk: {machine} s of the machine, {reading} s of reading, {typing} s of typing"
    );
    // 14 s on two cores that do nothing else; a machine that is busy with other tests may take longer.
    assert!(
        machine < 120 && reading < 285,
        "{machine} s and {reading} s"
    );

    let files = part("files");
    for line in [
        "2750 root:wa-sbc /etc/wa-sbc",
        "640 root:wa-sbc /etc/wa-sbc/sip-password",
        "644 root:wa-sbc /etc/wa-sbc/wa-sbc.toml",
        "750 wa-sbc:wa-sbc /var/lib/wa-sbc",
        "-F _wa__sbc wa-sbc",
        "verified",
    ] {
        assert!(files.contains(line), "{line}:\n{files}");
    }
    assert!(
        part("logs").contains("is no known address of the carrier"),
        "{}",
        part("logs")
    );
    let end = part("end");
    assert!(end.contains("stopped"), "{end}");
    assert!(
        end.contains("/etc/wa-sbc/wa-sbc.toml\n"),
        "removal keeps the configuration: {end}"
    );
    assert!(end.contains("cannot access '/usr/bin/wa-sbc'"), "{end}");
    assert!(
        end.contains("cannot access '/etc/wa-sbc'"),
        "purge leaves nothing: {end}"
    );
    assert!(
        !Path::new("/etc/wa-sbc").exists() || !said.contains("given-by-meta"),
        "no secret is said"
    );
}

#[test]
fn make_install_puts_everything_below_prefix_and_leaves_a_configuration_alone() {
    let place = Place::new("make-install");
    let root = place.path("root");
    let install = || {
        let mut command = script("etc/install.sh");
        command
            .arg(binary())
            .env("DESTDIR", &root)
            .env("PREFIX", "/opt/wa-sbc");
        done(&mut command)
    };
    install();
    let unit = std::fs::read_to_string(root.join("opt/wa-sbc/lib/systemd/system/wa-sbc.service"))
        .expect("a unit");
    assert!(
        unit.contains("ExecStart=/opt/wa-sbc/bin/wa-sbc run"),
        "{unit}"
    );
    assert!(
        root.join("opt/wa-sbc/share/man/man1/wa-sbc-run.1.gz")
            .is_file()
    );
    let configuration = root.join("etc/wa-sbc/wa-sbc.toml");
    std::fs::write(&configuration, "# mine\n").expect("writable");
    install();
    assert_eq!(
        std::fs::read_to_string(&configuration).expect("there"),
        "# mine\n"
    );
    let tops: Vec<_> = std::fs::read_dir(&root)
        .expect("there")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(tops.len(), 2, "opt and etc, nothing else: {tops:?}");
}

#[test]
fn the_recipe_for_a_container_builds_with_our_rust_and_runs_as_nobody_in_particular() {
    let recipe = std::fs::read_to_string(workspace().join("Containerfile")).expect("a recipe");
    let lines: Vec<&str> = recipe
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let stages: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("FROM "))
        .collect();
    assert_eq!(stages.len(), 2, "one to build, one to run");
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).expect("a manifest");
    let rust = manifest
        .split("rust-version = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a version");
    assert!(
        lines[stages[0]].contains(&format!("rust:{rust}-")),
        "{}",
        lines[stages[0]]
    );
    for stage in &stages {
        assert!(
            lines[*stage].contains(':') && !lines[*stage].contains(":latest"),
            "{}",
            lines[*stage]
        );
    }
    let last = &lines[stages[1]..];
    let user = last
        .iter()
        .find_map(|line| line.strip_prefix("USER "))
        .expect("a user");
    let ids: Vec<u32> = user
        .split(':')
        .map(|id| id.parse().expect("a number"))
        .collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id >= 1000), "{user}");
    assert!(
        last.iter()
            .any(|line| line.starts_with("ENTRYPOINT [\"/usr/bin/wa-sbc\"]"))
    );
    // Nothing secret is baked in, and nothing is fetched past the package manager and Cargo.lock.
    for line in &lines {
        let small = line.to_ascii_lowercase();
        for word in [
            "password", "secret", "token", "curl ", "wget ", "http://", "https://",
        ] {
            assert!(!small.contains(word), "{word}: {line}");
        }
        assert!(!line.starts_with("ADD "), "{line}");
    }
    // What the entry point and its state need is made before the user is somebody else.
    let at = |words: &str| {
        let found = last.iter().position(|line| line.starts_with(words));
        found.unwrap_or_else(|| panic!("no {words}"))
    };
    assert!(at("COPY --from=build /installed/usr/bin/wa-sbc /usr/bin/wa-sbc") < at("USER "));
    assert!(
        at("RUN install -d") < at("USER ")
            && last[at("RUN install -d")].contains("/var/lib/wa-sbc")
    );
    assert!(
        last.iter().any(|line| line == &"STOPSIGNAL SIGTERM"),
        "calls end properly"
    );
    // What the first stage copies from the sources and installs is there.
    for copied in last
        .iter()
        .filter_map(|line| line.strip_prefix("COPY --from=build "))
    {
        assert!(copied.starts_with("/installed/usr/"), "{copied}");
    }
    let ignored = std::fs::read_to_string(workspace().join(".containerignore")).expect("a list");
    for needed in ["etc", "crates", "Cargo.lock", "tests", "docs"] {
        assert!(
            ignored.lines().all(|line| line != needed),
            "the build needs {needed}"
        );
    }
    assert!(ignored.lines().any(|line| line == "target"));
}

#[test]
fn what_is_given_away_has_its_sums_and_holds_what_it_says() {
    if !has_dpkg("dist") || !present("dist", &["git", "tar", "sha256sum"]) {
        return;
    }
    let history = Command::new("git")
        .args(["log", "-1"])
        .current_dir(workspace())
        .output();
    if !history.is_ok_and(|output| output.status.success()) {
        cannot("dist", "the sources are no git checkout");
        return;
    }
    let place = Place::new("dist");
    let sums = done(script("etc/dist.sh").arg(binary()).arg(place.directory()));
    assert_eq!(sums.lines().count(), 3, "{sums}");
    done(
        Command::new("sha256sum")
            .args(["--quiet", "-c", "SHA256SUMS"])
            .current_dir(place.directory()),
    );
    let listed = |ending: &str| {
        let name = sums.split_whitespace().find(|name| name.ends_with(ending));
        let path = place.path(name.unwrap_or_else(|| panic!("no {ending} in {sums}")));
        done(Command::new("tar").arg("-tzf").arg(path))
    };
    let programs = listed("-linux.tar.gz");
    for there in [
        "/usr/local/bin/wa-sbc",
        "/etc/wa-sbc/wa-sbc.toml",
        "/LICENSE-MIT",
    ] {
        assert!(
            programs.lines().any(|line| line.ends_with(there)),
            "{there} is missing:\n{programs}"
        );
    }
    let sources = done(
        Command::new("sh")
            .args(["-c", "tar -tzf \"$0\"/wa-sbc-?.?.?.tar.gz"])
            .arg(place.directory()),
    );
    assert!(
        sources
            .lines()
            .any(|line| line.ends_with("/crates/sip/Cargo.toml")),
        "{sources}"
    );
}
