//! Faults around the cache of hypervisors: downloads that break, runners beside each other, and
//! folders that can't be written. A fake Debian archive is where Xen comes from.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rustix::process::geteuid;

use crate::world::{Output, PATIENCE, World};

fn finish(mut command: Command) -> Output {
    command.output().unwrap().into()
}

/// What is in the cache beside the entry and its lock.
fn rests(world: &World) -> Vec<String> {
    let names = fs::read_dir(world.path(".cache")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with("debian-sid-xen")).collect()
}

#[test]
fn a_download_is_made_once() {
    let world = World::new();
    let out = finish(world.fetching("whole"));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("fetching xen from sid"), "{out:?}");
    let out = finish(world.fetching("half"));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(!out.stderr.contains("fetching"), "{out:?}");
    assert_eq!(world.downloads(), 1);
}

#[test]
fn a_download_that_breaks_leaves_nothing_and_is_made_again() {
    for (how, words) in [
        ("half", "apt-get failed (exit status: 100):\nE: Failed to fetch: connection timed out"),
        ("damaged", "dpkg-deb: error: unexpected end of file"),
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
    let entry = world.path(".cache/debian-sid-xen");
    let xen = fs::read(entry.join("xen")).unwrap();
    fs::write(entry.join("xen"), &xen[..xen.len() - 1]).unwrap();
    let out = finish(world.fetching("whole"));
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("does not match its recorded sha256; getting it"), "{out:?}");
    assert_eq!(fs::read(entry.join("xen")).unwrap(), xen);
}

#[test]
fn a_second_runner_waits_for_the_first() {
    let world = World::new();
    let first = world.fetching("slow").spawn().unwrap();
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
    assert!(line.contains("waiting for another runner that is getting debian-sid-xen"), "{line}");
    let rest = said.iter().collect::<Vec<_>>().join("\n");
    assert!(!rest.contains("fetching"), "{rest}");
    assert_eq!(world.downloads(), 1);
    assert!(apt.die());
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
    fs::remove_file(cache.join("debian-sid-xen.lock")).unwrap();
    read_only(0o555);
    let out = finish(without_privileges(&world.fetching("half")));
    read_only(0o755);
    assert_eq!(out.code, 0, "{out:?}");
    assert_eq!(world.downloads(), 1);
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
