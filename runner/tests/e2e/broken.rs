//! A thousand broken machines: a seed decides where in a recorded boot the machine breaks, and how.
//!
//! CI tries a few seeds. `make test-broken` tries a thousand, `SEEDS=FROM..TO make test-broken`
//! others.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, thread};

use rustix::fs::OFlags;
use serde_json::Value;

use crate::world::{Output, World, fixture, wait_for};

/// What CI tries.
const SEEDS: &str = "0..40";
/// A way for a machine to break in six has a machine that breaks a second time.
const TWICE: u64 = 6;

/// What the fake QEMU does: the first one says `broken`, and then does what `$THEN` is. Others say
/// what a whole machine says of the tests that they are asked for; with `$CUT`, the second one
/// dies. Each leaves in its boot's folder what it said.
const MACHINE: &str = r#"
    if mkdir "$PIPE.1" 2>/dev/null; then
        cp "$(dirname "$PIPE")/broken" said && cat said
        eval "$THEN"
        exit
    fi
    list=$(echo "$module" | sed -e 's/.*tests=//' -e 's/ .*//' -e 's/,,/+/g' -e 's,/>,@,')
    whole="$CONSOLES/$(echo "$list" | sed 's,/,:,g')"
    if [ -n "$CUT" ] && mkdir "$PIPE.2" 2>/dev/null; then
        head -c "$CUT" "$whole" >said && cat said
        kill -KILL $$
    fi
    cp "$whole" said && cat said
"#;

/// Chance, the same for each seed: splitmix64.
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// A test as the recording has it.
struct Recorded {
    name: String,
    /// What is behind the numbers of its cases' result lines, which all say `ok`.
    cases: Vec<String>,
    /// What is behind the number of its own result line.
    result: String,
}

impl Recorded {
    /// What a guest says of those of its cases that come behind the first `skip`, as test `number`.
    fn told(&self, number: usize, skip: usize) -> String {
        if self.cases.is_empty() {
            return format!("ok {number} {}\r\n", self.result);
        }
        let cases = &self.cases[skip..];
        let head =
            format!("  KTAP version 1\r\n  # Subtest: {}\r\n  1..{}\r\n", self.name, cases.len());
        let lines = (1..).zip(cases);
        let lines: String =
            lines.map(|(number, rest)| format!("  ok {number} {rest}\r\n")).collect();
        format!("{head}{lines}ok {number} {}\r\n", self.result)
    }
}

/// A boot that was recorded.
struct Recording {
    console: Vec<u8>,
    /// What comes before the plan.
    head: String,
    tests: Vec<Recorded>,
}

impl Recording {
    fn read() -> Recording {
        let console = fs::read(fixture("recorded.log")).unwrap();
        let text = String::from_utf8(console.clone()).unwrap();
        let (head, rest) = text.split_once("\n1..").unwrap();
        let (mut tests, mut cases) = (Vec::new(), Vec::new());
        for line in rest.lines().map(str::trim_end).filter(|line| !line.contains("(XEN)")) {
            let body = line.trim_start();
            let Some(rest) = body.strip_prefix("ok ").and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            if body.len() < line.len() {
                cases.push(rest.1.to_owned());
            } else {
                let name = rest.1.split(' ').next().unwrap().to_owned();
                let cases = std::mem::take(&mut cases);
                tests.push(Recorded { name, cases, result: rest.1.to_owned() });
            }
        }
        Recording { console, head: format!("{head}\n"), tests }
    }

    /// The image's metadata.
    fn metadata(&self) -> String {
        let line = |test: &Recorded| {
            let names = test.cases.iter().map(|rest| rest.split(" # ").next().unwrap());
            let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
            // A test that skips itself has cases, too.
            let names = if names.is_empty() { "\"x\"".into() } else { names.join(",") };
            format!(
                "{{\"name\":\"{}\",\"title\":\"A title\",\"category\":\"functional\",\
                 \"environments\":[\"pv64\"],\"needs\":[],\"own_boot\":false,\"vcpus\":1,\
                 \"timeout_s\":300,\"default\":true,\"cases\":[{names}]}}\n",
                test.name
            )
        };
        self.tests.iter().map(line).collect()
    }

    /// Writes what a whole machine says of every list of tests that it can be asked for.
    fn write_consoles(&self, folder: &Path) {
        fs::create_dir(folder).unwrap();
        let write = |list: &str, told: &[String]| {
            let plan = told.len();
            let last = "Test result: SUCCESS\r\n";
            let text = format!("{}1..{plan}\r\n{}{last}", self.head, told.concat());
            let skipped =
                told.len() == 1 && told[0].contains("# SKIP") && !told[0].contains("KTAP");
            let text = if skipped { text.replace(last, "Test result: SKIP\r\n") } else { text };
            fs::write(folder.join(list.replace('/', ":")), text).unwrap();
        };
        let names: Vec<&str> = self.tests.iter().map(|test| test.name.as_str()).collect();
        for from in 0..names.len() {
            let told = (1..).zip(&self.tests[from..]).map(|(number, test)| test.told(number, 0));
            write(&names[from..].join("+"), &told.collect::<Vec<_>>());
            let test = &self.tests[from];
            write(names[from], &[test.told(1, 0)]);
            for (behind, rest) in (1..test.cases.len()).zip(&test.cases) {
                let case = rest.split(" # ").next().unwrap();
                let list = format!("{0}+{0}@{case}", names[from]);
                write(&list, &[test.told(1, behind)]);
            }
        }
    }
}

/// How a machine breaks.
struct Fault {
    what: String,
    /// All that it says,
    said: Vec<u8>,
    /// and what it does then, as a shell does it.
    then: &'static str,
    /// Whether what it says has no end, or it does not leave: then the runner ends it.
    endless: bool,
    /// Whether nothing but a limit ends it.
    stalls: bool,
}

impl Fault {
    fn of(dice: &mut Dice, console: &[u8]) -> Fault {
        // Half of the faults are where the guest speaks.
        let guest = console.windows(3).position(|at| at == b"---").unwrap();
        let from = if dice.below(2) == 0 { 0 } else { guest };
        let at = from + dice.below(console.len() - from);
        let length = 1 << dice.below(11);
        let len = 1 + dice.below(length);
        let end = (at + len).min(console.len());
        let (before, piece, behind) = (&console[..at], &console[at..end], &console[end..]);
        let whole = |what: &str, said: Vec<u8>| Fault {
            what: format!("{what} {at}..{end}"),
            said,
            then: "",
            endless: false,
            stalls: false,
        };
        let cut = |what: &str, then| Fault { then, ..whole(what, before.to_vec()) };
        match dice.below(12) {
            0 => cut("exits", ""),
            1 => cut("fails", "echo oops >&2; exit 1"),
            2 => cut("is killed", "kill -KILL $$"),
            3 => cut("segfaults", "kill -SEGV $$"),
            4 => Fault { endless: true, stalls: true, ..cut("stalls", "wait_for_ever") },
            5 => Fault {
                endless: true,
                ..cut("floods", "exec yes 'flood flood flood flood flood flood flood flood flood'")
            },
            6 => {
                let words = b"\r\n(XEN) Panic on CPU 0:\r\n(XEN) FATAL PAGE FAULT\r\n\
                              (XEN) Reboot in five seconds...\r\n";
                let said = [before, words].concat();
                Fault { said, endless: true, ..cut("panics", "wait_for_ever") }
            }
            7 => whole("begins again", [before, console].concat()),
            8 => whole("loses", [before, behind].concat()),
            9 => whole("repeats", [before, piece, piece, behind].concat()),
            10 => {
                let mut lines: Vec<&[u8]> = console.split_inclusive(|&b| b == b'\n').collect();
                let first = console[..at].iter().filter(|&&b| b == b'\n').count();
                let other = (first + 1 + dice.below(20)).min(lines.len() - 1);
                lines.swap(first, other);
                whole(&format!("swaps lines {first} and {other},"), lines.concat())
            }
            _ => {
                let noise = piece.iter().map(|_| u8::try_from(dice.below(256)).unwrap());
                let noise: Vec<u8> = noise.collect();
                whole("corrupts", [before, &noise, behind].concat())
            }
        }
    }
}

/// The lines of the protocol that a console holds whole.
fn protocol(console: &[u8]) -> Vec<String> {
    let whole = console.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n"));
    let clean = whole.map(|line| {
        let bytes: Vec<u8> = line.iter().copied().filter(|b| !b.is_ascii_control()).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // What a directive says behind its word decides nothing.
        let mut words = [" # SKIP", " # XFAIL", " # ERROR"].into_iter();
        let end = words.find_map(|word| text.find(word).map(|at| at + word.len()));
        text[..end.unwrap_or(text.len())].trim_end().to_owned()
    });
    let heads = ["ok ", "not ok ", "1..", "KTAP ", "# Subtest: "];
    clean.filter(|line| heads.iter().any(|head| line.trim_start().starts_with(head))).collect()
}

/// What somebody who believes whole lines only would call a success, of all that was said in a run.
#[derive(Default)]
struct Told {
    tests: BTreeSet<String>,
    cases: BTreeSet<(String, String)>,
}

impl Told {
    /// Adds a boot that said this.
    fn hear(&mut self, recording: &Recording, said: &[u8]) {
        let lines = protocol(said);
        for test in &recording.tests {
            // As a whole: a test that goes on in another boot has lost a case.
            for end in 1..=lines.len() {
                let result = lines[end - 1].strip_prefix("ok ").unwrap_or_default();
                let Some((number, rest)) = result.split_once(' ') else { continue };
                let told = test.told(number.parse().unwrap_or(0), 0);
                if rest == test.result && lines[..end].ends_with(&protocol(told.as_bytes())) {
                    self.tests.insert(test.name.clone());
                }
            }
            let mut of_test = false;
            for line in &lines {
                if let Some(name) = line.trim_start().strip_prefix("# Subtest: ") {
                    of_test = name == test.name;
                }
                let case = line.strip_prefix("  ok ").and_then(|rest| rest.split_once(' '));
                let known = |name: &&str| test.cases.iter().any(|rest| rest == name);
                if let Some(name) = case.map(|(_, name)| name).filter(known)
                    && of_test
                {
                    self.cases.insert((test.name.clone(), name.to_owned()));
                }
            }
        }
    }
}

/// Whoever waits for the announcements of fake QEMUs, of any number.
pub fn reader(world: &World) -> File {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    OpenOptions::new().read(true).custom_flags(flags).open(world.path("pipe")).unwrap()
}

/// Waits until no fake QEMU is left, nor a child of one.
pub fn wait_for_the_end_of_all(mut reader: File) {
    let mut buffer = [0; 4096];
    wait_for("a QEMU outlived the runner", || {
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(e) => panic!("{e}"),
            }
        }
    });
}

/// One machine, and all that must hold whatever it does.
fn check(seed: u64, recording: &Recording, consoles: &Path) {
    let mut dice = Dice(seed);
    let fault = Fault::of(&mut dice, &recording.console);
    let twice = dice.roll().is_multiple_of(TWICE);
    let cut = twice.then(|| (1 + dice.below(recording.console.len())).to_string());
    let cut = cut.unwrap_or_default();
    let what = format!("seed {seed}: {} then cut at `{cut}`", fault.what);

    let world = World::new();
    world.image("xtf", ".xtf.meta", recording.metadata().as_bytes());
    fs::write(world.path("broken"), &fault.said).unwrap();
    let mut args = vec!["run", "--jobs=1", "--json=r.json", "--junit=r.xml", "--ktap=r.ktap"];
    if fault.stalls {
        args.push("--timeout=1");
        let config = fs::read_to_string(world.path("xtf-runner.toml")).unwrap();
        let config = config.replace("boot-timeout-s = 300", "boot-timeout-s = 1");
        world.file("xtf-runner.toml", &config);
    }
    let qemus = reader(&world);
    let mut command = world.command(&args, "script", "success.log");
    command.env("ANNOUNCE", "yes").env("SCRIPT", MACHINE).env("THEN", fault.then).env("CUT", cut);
    let out = Output::from(command.env("CONSOLES", consoles).output().unwrap());
    wait_for_the_end_of_all(qemus);

    // What was said is in the logs.
    let mut told = Told::default();
    let folders = fs::read_dir(world.path("logs/latest")).unwrap().map(|entry| entry.unwrap());
    for folder in folders.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()) {
        let said = fs::read(folder.join("said")).unwrap();
        let log = fs::read(folder.join("console.log")).unwrap();
        // In front of it, this fake QEMU shows Xen's command line.
        let first = log.iter().position(|&b| b == b'\n').map_or(log.len(), |at| at + 1);
        let log = &log[first..];
        let is_first = folder.file_name().unwrap().to_string_lossy().starts_with("001-");
        // Of a machine without an end there is more than it said before that, or if a limit passed
        // on a slow host less.
        let more = is_first && fault.endless && log.starts_with(&said);
        let less = fault.stalls && said.starts_with(log);
        assert!(log == said || more || less, "{what}: {} is not what was said", folder.display());
        told.hear(recording, if less { log } else { &said });
    }

    // No success that was not told, and a verdict for all.
    let json: Value = serde_json::from_slice(&fs::read(world.path("r.json")).unwrap()).unwrap();
    let tests = json["tests"].as_array().unwrap();
    for test in tests {
        let name = test["test"].as_str().unwrap();
        let is_told = told.tests.contains(name);
        assert!(test["status"] != "SUCCESS" || is_told, "{what}: {name} {out:?}");
        for case in test["cases"].as_array().unwrap() {
            let case_told = (name.to_owned(), case["name"].as_str().unwrap().to_owned());
            let is_told = told.cases.contains(&case_told);
            assert!(case["verdict"] != "SUCCESS" || is_told, "{what}: {case_told:?} {out:?}");
        }
    }
    let missing = json["not_run"].as_array().unwrap().len();
    assert_eq!(tests.len() + missing, recording.tests.len(), "{what}: {out:?}");
    assert_eq!(missing, 0, "{what}: {out:?}");
    let good = tests.iter().all(|test| test["status"] == "SUCCESS" || test["status"] == "SKIP");
    assert_eq!(out.code == 0, good, "{what}: {out:?}");

    // Reports are whole, and agree.
    assert_eq!((&json["complete"], &json["run"]["exit_code"]), (&true.into(), &out.code.into()));
    let junit = fs::read_to_string(world.path("r.xml")).unwrap();
    assert!(junit.trim_end().ends_with("</testsuites>"), "{what}: {junit}");
    let ktap = fs::read_to_string(world.path("r.ktap")).unwrap();
    assert!(!ktap.contains("Bail out!"), "{what}: {ktap}");
    assert!(out.sums().ends_with(" skipped") && !out.stderr.contains("panicked"), "{out:?}");
}

fn check_all(seeds: &str) {
    let (from, to) = seeds.split_once("..").expect("SEEDS is FROM..TO");
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    let recording = Recording::read();
    let folder = tempfile::tempdir().unwrap();
    let consoles = folder.path().join("consoles");
    recording.write_consoles(&consoles);
    // Most of a stall is waiting.
    let next = AtomicU64::new(from);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    if catch_unwind(|| check(seed, &recording, &consoles)).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds {failed:?}");
}

#[test]
fn a_broken_machine_has_no_success_that_it_did_not_tell() {
    check_all(&env::var("SEEDS").unwrap_or_else(|_| SEEDS.into()));
}
