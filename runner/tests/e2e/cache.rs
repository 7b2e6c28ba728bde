//! Faults around the cache of hypervisors: downloads that break, runners beside each other, and
//! folders that can't be written. A fake Debian archive is where Xen comes from.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rustix::process::geteuid;

use crate::world::{Output, PATIENCE, World, fixture};

fn finish(mut command: Command) -> Output {
    command.output().unwrap().into()
}

/// What is in the cache beside the entry and its lock.
fn rests(world: &World) -> Vec<String> {
    let names = fs::read_dir(world.path(".cache")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let known = |name: &String| name.starts_with("debian-sid-xen") || name.starts_with("apt-sid");
    names.filter(|name| !known(name)).collect()
}

#[test]
fn a_download_is_made_once() {
    let world = World::new();
    let out = finish(world.fetching("whole"));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("fetching xen 1.0 from sid"), "{out:?}");
    let out = finish(world.fetching("half"));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(!out.stderr.contains("fetching"), "{out:?}");
    assert_eq!(world.downloads(), 1);
}

#[test]
fn a_download_that_breaks_leaves_nothing_and_is_made_again() {
    for (how, words) in [
        ("half", "apt-get failed (exit status: 100):\nE: Failed to fetch: connection timed out"),
        ("damaged", "xen_1.0_amd64.deb is no package"),
    ] {
        let world = World::new();
        let out = finish(world.fetching(how));
        assert_eq!(out.code, 69, "{out:?}");
        assert!(out.stderr.contains(words), "{out:?}");
        assert_eq!(rests(&world), [""; 0]);
        assert_eq!(finish(world.fetching("whole")).code, 0);
    }
}

#[test]
fn a_damaged_entry_is_told_and_made_again() {
    let world = World::new();
    assert_eq!(finish(world.fetching("whole")).code, 0);
    let entry = world.path(".cache/debian-sid-xen_1.0");
    let xen = fs::read(entry.join("xen")).unwrap();
    fs::write(entry.join("xen"), &xen[..xen.len() - 1]).unwrap();
    let out = finish(world.fetching("whole"));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(
        out.stderr.contains("does not match its recorded sha256; downloading it again"),
        "{out:?}"
    );
    assert_eq!(fs::read(entry.join("xen")).unwrap(), xen);
}

#[test]
fn a_second_runner_waits_for_the_first() {
    let world = World::new();
    beside_each_other(&world, "slow");
    assert_eq!((world.looks(), world.downloads()), (1, 1));
}

#[test]
fn a_second_runner_waits_while_the_first_gets_a_newer_one() {
    let world = World::new();
    assert_eq!(at_version(&world, "0.9", "whole").code, 0);
    world.let_hours_pass(25);
    beside_each_other(&world, "slow");
    assert_eq!((world.looks(), world.downloads()), (2, 2));
}

#[test]
fn a_second_runner_does_not_try_what_the_first_could_not() {
    let world = World::new();
    assert_eq!(at_version(&world, "0.9", "whole").code, 0);
    world.let_hours_pass(25);
    let first = beside_each_other(&world, "slow-offline");
    assert!(first.stderr.contains("xen 0.9 may not be current"), "{first:?}");
    assert_eq!((world.looks(), world.downloads()), (2, 1));
}

/// Two runners, the second of which finds the first at its work, which goes so; returns what the
/// first said.
fn beside_each_other(world: &World, how: &str) -> Output {
    let first = world.fetching(how).spawn().unwrap();
    let apt = world.wait_for_apt();
    let mut second = world.fetching("whole").spawn().unwrap();
    let (lines, said) = mpsc::channel();
    let second_said = BufReader::new(second.stderr.take().unwrap());
    let reader = thread::spawn(move || {
        second_said.lines().map_while(Result::ok).for_each(|line| lines.send(line).unwrap());
    });
    let line = said.recv_timeout(PATIENCE).unwrap_or_default();

    let mut gate = OpenOptions::new().write(true).open(world.path("pipe.never")).unwrap();
    writeln!(gate, "go on").unwrap();
    let first = Output::from(first.wait_with_output().unwrap());
    assert_eq!(first.code, 0, "{first:?}");
    let second = Output::from(second.wait_with_output().unwrap());
    assert!(second.code == 0 && second.stdout.ends_with("1 skipped\n"), "{second:?}");
    reader.join().unwrap();
    assert!(line.contains("waiting for another runner that downloads apt-sid"), "{line}");
    let rest = said.iter().collect::<Vec<_>>().join("\n");
    assert!(!rest.contains("fetching"), "{rest}");
    assert!(apt.die());
    let current = |text: &str| !text.contains("may not be current");
    assert_eq!(current(&rest), current(&first.stderr), "{rest}");
    first
}

#[test]
fn a_killed_runner_takes_apt_along_and_blocks_nobody() {
    let world = World::new();
    let mut first = world.fetching("slow").spawn().unwrap();
    let apt = world.wait_for_apt();
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(apt.die(), "apt outlived the runner");
    assert_eq!(rests(&world).len(), 1, "this test is about what a killed runner leaves");

    let out = finish(world.fetching("whole"));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(!out.stderr.contains("waiting"), "{out:?}");
    assert_eq!(rests(&world), [""; 0]);
}

#[test]
fn a_read_only_cache_is_used_and_never_filled() {
    let world = World::new();
    let cache = world.path(".cache");
    fs::create_dir(&cache).unwrap();
    let read_only = |mode| fs::set_permissions(&cache, Permissions::from_mode(mode)).unwrap();

    read_only(0o555);
    let out = finish(without_privileges(&world.fetching("whole")));
    assert_eq!(out.code, 74, "{out:?}");
    assert!(out.stderr.contains("cannot write to the cache"), "{out:?}");
    assert!(out.stderr.contains("(XTF_CACHE names another): Permission denied"), "{out:?}");
    assert_eq!(world.downloads(), 0);

    read_only(0o755);
    assert_eq!(finish(world.fetching("whole")).code, 0);
    fs::remove_file(cache.join("apt-sid.lock")).unwrap();
    read_only(0o555);
    let out = finish(without_privileges(&world.fetching("half")));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(!out.stderr.contains("current"), "{out:?}");

    read_only(0o755);
    world.let_hours_pass(25);
    read_only(0o555);
    let out = finish(without_privileges(&world.fetching("whole")));
    read_only(0o755);
    assert_eq!(out.code, 0, "{out:?}");
    let why = "Xen deb: xen 1.0 may not be current: the cache can't be written: Permission denied";
    assert!(out.stderr.contains(why), "{out:?}");
    assert_eq!((world.looks(), world.downloads()), (1, 1));
}

/// What the world's cache has of the package.
fn entries(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path(".cache")).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().join("xen").is_file());
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A runner while the archive has this version.
fn at_version(world: &World, version: &str, download: &str) -> Output {
    let mut command = world.fetching(download);
    command.env("FAKE_VERSION", version).args(["--json", "results.json"]);
    finish(command)
}

fn version_in_report(world: &World) -> String {
    let text = fs::read_to_string(world.path("results.json")).unwrap();
    let found = ["xen 1.0 (sid)", "xen 2.0 (sid)", "xen 3.0 (sid)"];
    found.into_iter().filter(|version| text.contains(version)).collect()
}

#[test]
fn the_archive_is_looked_at_once_a_day() {
    let world = World::new();
    assert_eq!(at_version(&world, "1.0", "whole").code, 0);
    world.let_hours_pass(23);
    let out = at_version(&world, "2.0", "whole");
    assert_eq!((out.code, world.looks()), (0, 1), "{out:?}");
    assert_eq!(version_in_report(&world), "xen 1.0 (sid)");

    world.let_hours_pass(2);
    let out = at_version(&world, "1.0", "whole");
    assert_eq!((out.code, world.looks(), world.downloads()), (0, 2, 1), "{out:?}");
    assert!(!out.stderr.contains("xen 1.0"), "nothing is new: {out:?}");

    world.let_hours_pass(25);
    let out = at_version(&world, "2.0", "whole");
    assert_eq!((out.code, world.looks(), world.downloads()), (0, 3, 2), "{out:?}");
    assert!(out.stderr.contains("Xen deb: xen 1.0 replaced by 2.0"), "{out:?}");
    assert_eq!(version_in_report(&world), "xen 2.0 (sid)");
    // Another runner may be at work with it.
    assert_eq!(entries(&world), ["debian-sid-xen_1.0", "debian-sid-xen_2.0"]);

    // Who fetches on purpose doesn't wait.
    let mut command = world.fetching("whole");
    command.env("FAKE_VERSION", "3.0").arg("--fetch-only");
    let out = finish(command);
    assert_eq!((out.code, world.looks(), world.downloads()), (0, 4, 3), "{out:?}");
    assert!(out.stderr.contains("xen 3.0 (sid), current 0 h ago"), "{out:?}");
    assert_eq!(entries(&world), ["debian-sid-xen_2.0", "debian-sid-xen_3.0"]);
    assert_eq!(rests(&world), [""; 0]);
}

#[test]
fn what_is_cached_is_used_when_looking_fails() {
    for (how, why) in [
        ("offline", "E: Failed to fetch: no route to host"),
        ("half", "E: Failed to fetch: connection timed out"),
        ("damaged", "what apt downloaded is of no use: "),
    ] {
        let world = World::new();
        assert_eq!(at_version(&world, "1.0", "whole").code, 0);
        world.let_hours_pass(25);
        let words = format!("Xen deb: xen 1.0 may not be current: {why}");
        // The second one is soon behind the first, and doesn't try again.
        for _ in 0..2 {
            let out = at_version(&world, "2.0", how);
            assert_eq!((out.code, world.looks()), (0, 2), "{out:?}");
            assert!(out.stderr.contains(&words), "{out:?}");
            assert_eq!(version_in_report(&world), "xen 1.0 (sid)");
        }
        assert_eq!(entries(&world), ["debian-sid-xen_1.0"]);
        assert_eq!(rests(&world), [""; 0]);
        world.let_hours_pass(2);
        let out = at_version(&world, "2.0", "whole");
        assert!(out.stderr.contains("xen 1.0 replaced by 2.0"), "{out:?}");
        assert_eq!(version_in_report(&world), "xen 2.0 (sid)");
    }
}

#[test]
fn a_package_for_the_dom0_that_there_is_not() {
    let world = World::new();
    for (with, why) in [
        (
            "xl,python3-minimol",
            "Debian's sid has no package `python3-minimol`; did you mean python3",
        ),
        ("zzz", "Debian's sid has no package `zzz`; `apt-cache search WORD` finds names"),
        ("--help", "`--help` is not a valid name of a package"),
    ] {
        let qemu = fixture("fake-qemu.sh");
        let args = ["dom0", "--xen", "deb", "--qemu", qemu.to_str().unwrap()];
        let with = format!("--with={with}");
        let mut command = world.fetching_for(&[&args[..], &[&with]].concat(), "whole");
        command.env("FAKE_NAMES", "xl xen python3 python3-minimal");
        let out = finish(command);
        assert_eq!(out.code, 64, "{out:?}");
        assert!(out.stderr.contains(&format!("--with: {why}")), "{out:?}");
    }
}

#[test]
fn offline_takes_what_is_there() {
    let world = World::new();
    let offline = || {
        let mut command = world.fetching("whole");
        command.args(["--offline", "--json", "results.json"]);
        finish(command)
    };
    let out = offline();
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("Xen deb (debian-sid-xen) is not in the cache "), "{out:?}");
    assert!(out.stderr.contains("run this once without --offline"), "{out:?}");
    assert_eq!((world.looks(), world.downloads()), (0, 0));

    assert_eq!(at_version(&world, "1.0", "whole").code, 0);
    world.let_hours_pass(1000);
    let out = offline();
    assert_eq!((out.code, world.looks(), world.downloads()), (0, 1, 1), "{out:?}");
    assert_eq!(version_in_report(&world), "xen 1.0 (sid)");

    fs::write(world.path(".cache/debian-sid-xen_1.0/xen"), "damage").unwrap();
    let out = offline();
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("does not match its recorded sha256"), "{out:?}");
}

#[test]
fn symbols_are_those_of_the_cached_version() {
    let world = World::new();
    assert_eq!(at_version(&world, "1.0", "whole").code, 0);
    let fetching = world.fetching("half");
    let mut command = world.command(&["mutate", "--list", "--xen", "deb"], "print", "good.log");
    for (name, value) in fetching.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.env(name, value);
    }
    command.env("FAKE_VERSION", "2.0");
    world.file(
        "xtf-runner.toml",
        "[hypervisor.deb]\ndebian = { suite = 'sid', package = 'xen' }\nsymbols = 'xen-dbg'\n",
    );
    let out = finish(command);
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("fetching xen-dbg 1.0 from sid"), "{out:?}");
    assert!(out.stderr.contains("`xtf-runner run --fetch-only` with the same --xen"), "{out:?}");
    let downloads = fs::read_to_string(world.path("downloads")).unwrap();
    let (of_xen, of_symbols) = downloads.split_once('\n').unwrap();
    assert!(of_xen.ends_with(" download xen=1.0"), "{downloads}");
    // The archive may have moved on since it was looked at: the second attempt knows better.
    assert!(of_symbols.lines().all(|line| line.ends_with(" download xen-dbg=1.0")), "{downloads}");
    assert_eq!((of_symbols.lines().count(), world.looks()), (2, 2));

    // That was a look, too: the lists tell about Xen's own version, and are not fetched again.
    let out = at_version(&world, "1.0", "whole");
    assert_eq!((out.code, world.looks()), (0, 2), "{out:?}");
    let out = at_version(&world, "2.0", "whole");
    assert_eq!(version_in_report(&world), "xen 1.0 (sid)", "{out:?}");
}

#[test]
fn missing_security_updates_are_told() {
    for (suite, security, told) in
        [("bookworm", "", true), ("bookworm", "yes", false), ("sid", "", false)]
    {
        let world = World::new();
        let mut command = world.fetching("whole");
        command.env("FAKE_SECURITY", security);
        let text = fs::read_to_string(world.path("xtf-runner.toml")).unwrap();
        world.file("xtf-runner.toml", &text.replace("sid", suite));
        let out = finish(command);
        assert_eq!(out.code, 0, "{out:?}");
        let note = "no security archive of Debian's: what is current in bookworm lacks security";
        assert_eq!(out.stderr.contains(note), told, "{suite} {security}: {out:?}");
        let sources = format!(".cache/apt-{suite}/etc/sources.list");
        let sources = fs::read_to_string(world.path(&sources)).unwrap();
        assert_eq!(sources.contains("bookworm-security"), security == "yes", "{sources}");
    }
}

/// The same command for somebody to whom permissions apply: for root they don't.
pub fn without_privileges(command: &Command) -> Command {
    let mut same = if geteuid().is_root() {
        let mut same = Command::new("setpriv");
        same.arg("--bounding-set=-dac_override,-dac_read_search").arg(command.get_program());
        same
    } else {
        Command::new(command.get_program())
    };
    same.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => same.env(name, value),
            None => same.env_remove(name),
        };
    }
    same
}

/// All files and folders below `folder`.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            let inner = if path.is_dir() { below(&path) } else { Vec::new() };
            [vec![path], inner].concat()
        })
        .collect()
}

/// Whatever becomes of anything in it.
#[test]
fn a_damaged_cache_is_used_or_made_again() {
    let world = World::new();
    assert_eq!(finish(world.fetching("whole")).code, 0);
    let cache = world.path(".cache");
    let whole = world.path("whole");
    fs::rename(&cache, &whole).unwrap();
    for path in below(&whole) {
        let name = path.strip_prefix(&whole).unwrap();
        let damaged = cache.join(name);
        type Damage = fn(&Path) -> io::Result<()>;
        let damages: [(&str, Damage); 5] = [
            ("cut", |path| {
                fs::write(path, &fs::read(path)?[..fs::metadata(path)?.len() as usize / 2])
            }),
            ("empty", |path| fs::write(path, "")),
            ("another", |path| fs::write(path, "{\"other\": [1, 2, 3]}")),
            ("a folder", |path| fs::remove_file(path).and_then(|()| fs::create_dir(path))),
            ("a file", |path| fs::remove_dir_all(path).and_then(|()| fs::write(path, "x"))),
        ];
        for (what, damage) in damages {
            let mut copy = Command::new("cp");
            assert!(copy.arg("-a").arg(&whole).arg(&cache).status().unwrap().success());
            // Not every damage can be done to a file, and not every one to a folder.
            if damage(&damaged).is_ok() {
                let out = finish(world.fetching("whole"));
                assert_eq!(out.code, 0, "{} is {what}: {out:?}", name.display());
            }
            fs::remove_dir_all(&cache).unwrap();
        }
    }
}
