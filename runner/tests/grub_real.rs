//! GRUB under real QEMU: the medium that `iso` writes, from both firmwares, as a CD and as a USB
//! stick, judged by its console alone; and the loaders `grub` and `grub-efi` of `run`.
//!
//! Needs the built image, QEMU, GRUB's tools, OVMF, and a Xen in the cache, so `make test` runs these
//! (they are ignored otherwise).

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

#[path = "fixtures/each.rs"]
mod each;

use each::each;

const IMAGE: &str = "target/x86_64-unknown-none/release/xtf";
const FIRMWARES: [Firmware; 2] = [Firmware::Bios, Firmware::Uefi];
/// For what comes sooner or later: only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(300);
/// Characters that mean something to GRUB's shell, to QEMU or to another shell.
const STRANGE: &str = "$a;{},,|&<>#*?%~`!()[]@^=";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Firmware {
    Bios,
    Uefi,
}

/// What the machine takes the medium for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Medium {
    Cd,
    Stick,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn runner(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.current_dir(workspace()).args(args).output().unwrap()
}

/// Standard output of a runner that ends so.
#[track_caller]
fn said(args: &[&str], code: i32) -> String {
    let output = runner(args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}:\n{text}\n{errors}");
    text
}

/// The files of UEFI firmware that the runner finds here: its code, and its variables.
fn uefi() -> Vec<String> {
    let args = ["run", "--dry-run", "--loader", "grub-efi", "--xen", "4.17", "example", "pv64"];
    let command = said(&args, 0);
    let words = shlex::split(&command).unwrap();
    let ends = ["firmware", "firmware-variables"];
    let links = words.windows(2).filter(|pair| ends.contains(&pair[1].as_str()));
    links.map(|pair| pair[0].clone()).collect()
}

/// A PC that is not the runner's.
struct Machine {
    qemu: Child,
    bytes: Receiver<Vec<u8>>,
    console: String,
    dir: TempDir,
}

impl Machine {
    fn of(firmware: Firmware, medium: Medium, iso: &Path) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("qemu-system-x86_64");
        command.current_dir(dir.path()).args(["-no-user-config", "-nodefaults"]);
        command.args(["-display", "none", "-vga", "std", "-serial", "stdio", "-m", "512"]);
        command.args(["-cpu", "EPYC,-monitor", "-monitor", "unix:monitor,server=on,wait=off"]);
        // Waiting costs nothing, and nothing depends on how fast this host is.
        command.args(["-icount", "shift=6,sleep=off", "-rtc", "clock=vm"]);
        if firmware == Firmware::Uefi {
            command.args(["-machine", "q35"]);
            for (unit, file) in uefi().into_iter().enumerate() {
                let drive = format!("if=pflash,unit={unit},format=raw,snapshot=on,file={file}");
                command.args(["-drive", &drive]);
            }
        }
        let iso = iso.display();
        match medium {
            Medium::Cd => command.args(["-cdrom", &iso.to_string()]),
            Medium::Stick => {
                command.args(["-drive", &format!("if=none,id=stick,format=raw,file={iso}")]);
                command.args(["-device", "qemu-xhci", "-device"]);
                command.arg("usb-storage,drive=stick,bootindex=0")
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut qemu = command.spawn().unwrap();
        let mut stdout = qemu.stdout.take().unwrap();
        let (send, bytes) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                let _ = send.send(buffer[..count].to_vec());
            }
        });
        Machine { qemu, bytes, console: String::new(), dir }
    }

    /// Reads the console until it says so.
    #[track_caller]
    fn until(&mut self, words: &str) {
        while !self.console.contains(words) {
            // The end of QEMU is an error at once.
            let Ok(bytes) = self.bytes.recv_timeout(PATIENCE) else {
                panic!("«{words}» does not come:\n{}", self.console)
            };
            self.console += &String::from_utf8_lossy(&bytes);
        }
    }

    /// Whether a line on the screen reads `text`: where its letters are alike, the pictures are.
    fn shows(&self, text: &str) -> bool {
        let mut socket = UnixStream::connect(self.dir.path().join("monitor")).unwrap();
        socket.write_all(b"screendump screen.ppm\nquit\n").unwrap();
        socket.read_to_end(&mut Vec::new()).unwrap();
        let picture = fs::read(self.dir.path().join("screen.ppm")).unwrap();
        let mut head = picture.splitn(4, |&byte| byte == b'\n');
        let (_, size, _, pixels) =
            (head.next(), head.next().unwrap(), head.next(), head.next().unwrap());
        let size = String::from_utf8_lossy(size);
        let (width, height) = size.split_once(' ').unwrap();
        let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
        // Xen's letters on a screen of dots.
        let (wide, high) = (8, 16);
        let letter = |row: usize, column: usize| -> Vec<&[u8]> {
            let line = |y: usize| {
                let start = ((row * high + y) * width + column * wide) * 3;
                &pixels[start..start + wide * 3]
            };
            (0..high).map(line).collect()
        };
        let text: Vec<char> = text.chars().collect();
        (0..height / high).any(|row| {
            let letters: Vec<_> = (0..text.len()).map(|column| letter(row, column)).collect();
            let pairs = (0..text.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
            pairs.into_iter().all(|(a, b)| (text[a] == text[b]) == (letters[a] == letters[b]))
        })
    }

    /// The verdicts of `judge` on what the console said.
    #[track_caller]
    fn judged(&self, code: i32) -> String {
        let (file, logs) = (self.dir.path().join("console.log"), self.dir.path().join("logs"));
        fs::write(&file, &self.console).unwrap();
        let (file, logs) = (file.display().to_string(), logs.display().to_string());
        said(&["judge", &file, "--image", IMAGE, "--logs", &logs], code)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A medium with these options of `iso`, and what was said of it.
#[track_caller]
fn iso(dir: &TempDir, args: &[&str]) -> (PathBuf, String) {
    let path = dir.path().join("xtf.iso");
    let shown = path.display().to_string();
    let args = [&["iso", "-o", &shown, "--xen", "4.17", "--wait", "0"], args].concat();
    (path, said(&args, 0))
}

/// On a BIOS: it takes as many boots as there are entries, and those by UEFI are the slowest.
#[test]
#[ignore = "boots real Xen"]
fn a_stick_runs_one_entry_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (path, told) = iso(&dir, &["--isolate", "--at-end", "next", "example", "selftest/heap/*"]);
    let titles = [
        "   1  Xen 4.17 pv64: example\n",
        "   2  Xen 4.17 pv64: selftest/heap/*\n",
        "   3  Xen 4.17 pvh64: example\n",
        "   4  Xen 4.17 pvh64: selftest/heap/*\n",
        "from a stick the next entry starts, until all have run",
        "judge --boots 4 --image",
    ];
    titles.iter().for_each(|words| assert!(told.contains(words), "{words}: {told}"));
    let mut machine = Machine::of(Firmware::Bios, Medium::Stick, &path);
    machine.until("All entries have run");
    let judged = machine.judged(0);
    for test in ["pv64  example (2", "pvh64 example (2", "pv64  selftest (", "pvh64 selftest ("] {
        assert!(judged.contains(test), "{judged}");
    }
    assert!(judged.contains("4 boots, 4 tests;"), "{judged}");
}

#[test]
#[ignore = "boots real Xen"]
fn a_medium_that_cannot_be_written_stands_still_after_its_first_entry() {
    each(FIRMWARES, |firmware| {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = iso(&dir, &["--at-end", "next", "example"]);
        let mut machine = Machine::of(*firmware, Medium::Cd, &path);
        machine.until("halting machine");
        assert!(machine.shows("Test result: SUCCESS"), "{firmware:?}: {}", machine.console);
        assert!(machine.console.contains("This medium cannot be written: no other entry follows."));
        let judged = machine.judged(0);
        assert!(judged.contains("1 boot, 1 test;") && judged.contains("pv64  example"), "{judged}");
    });
}

#[test]
#[ignore = "boots real Xen"]
fn the_outcome_stays_on_the_screen() {
    let dir = tempfile::tempdir().unwrap();
    let (path, told) = iso(&dir, &["example", "pv64"]);
    assert!(told.contains("with the outcome on the screen"), "{told}");
    let mut machine = Machine::of(Firmware::Uefi, Medium::Stick, &path);
    machine.until("halting machine");
    assert!(machine.shows("Test result: SUCCESS"), "{}", machine.console);
}

/// A verdict from a stick is no better than what it ran.
#[test]
#[ignore = "boots real Xen"]
fn what_fails_on_a_stick_fails_in_its_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = iso(&dir, &["--at-end", "reboot", "bad-failure", "pv64"]);
    let mut machine = Machine::of(Firmware::Bios, Medium::Stick, &path);
    machine.until("Test result: FAILURE");
    let judged = machine.judged(5);
    assert!(judged.contains("✗ wrong: expected EINVAL, got ENOENT"), "{judged}");
}

/// Runs with a loader; returns what was said and the folder of the logs.
#[track_caller]
fn run(code: i32, args: &[&str]) -> (String, TempDir) {
    let logs = tempfile::tempdir().unwrap();
    let shown = logs.path().join("logs").display().to_string();
    let text = said(&[&["run", "--logs", &shown], args].concat(), code);
    (text, logs)
}

/// The guest's part of the console of a boot.
fn guest_log(logs: &TempDir, boot: &str) -> String {
    fs::read_to_string(logs.path().join("logs/latest").join(boot).join("guest.log")).unwrap()
}

/// Xen gets its command line as it is, or `run` says that it does not; the guest prints what it does
/// not know.
#[test]
#[ignore = "boots real Xen"]
fn command_lines_arrive_as_they_are() {
    each(["grub", "grub-efi"], |loader| {
        let (guest, xen) = (format!("x={STRANGE}"), format!("com2={STRANGE}"));
        let args = ["--loader", loader, "--cmdline", &guest, "--xen-cmdline", &xen, "example"];
        let (text, logs) = run(0, &args);
        for (boot, environment) in
            [("001-4.17-pv64-example", "pv64 "), ("002-4.17-pvh64-example", "pvh64")]
        {
            assert!(text.contains(&format!("4.17 {environment} example")), "{text}");
            let log = guest_log(&logs, boot);
            assert!(log.contains(&format!("unknown parameter '{guest}'")), "{log}");
            assert!(log.contains(&format!(" {xen}\n")), "{log}");
        }
    });
}

#[test]
#[ignore = "boots real Xen"]
fn boots_go_on_from_a_snapshot_and_leave_no_medium() {
    each(["grub", "grub-efi"], |loader| {
        let args = ["--loader", loader, "--isolate", "--snapshot", "always", "--json", "-"];
        let (text, logs) = run(0, &[&args[..], &["example", "selftest/heap/*", "pv64"]].concat());
        let results: serde_json::Value = serde_json::from_str(&text).unwrap();
        let boots = results["boots"].as_array().unwrap();
        assert_eq!(boots.len(), 2, "{text}");
        for boot in boots {
            assert_eq!(boot["mode"], "fast, tcg, snapshot");
            assert_eq!(boot["loader"], *loader);
        }
        let find = ["-type", "f", "-name", "*.iso", "-size", "+0"];
        let left = Command::new("find").arg(logs.path()).args(find).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    });
}

#[test]
#[ignore = "boots real Xen"]
fn the_command_of_a_dry_run_works_anywhere() {
    let args = ["run", "--dry-run", "--loader", "grub", "--xen", "4.17", "example", "pv64"];
    let command = said(&args, 0);
    let output = Command::new("sh").arg("-c").arg(&command).current_dir("/").output().unwrap();
    let console = String::from_utf8_lossy(&output.stdout);
    assert!(console.contains("Test result: SUCCESS"), "{command}\n{console}");
}

/// GRUB's own words are in the report, and nobody waits for a time limit.
#[test]
#[ignore = "boots real GRUB"]
fn a_xen_that_grub_does_not_load_is_an_error_in_grubs_words() {
    let dir = tempfile::tempdir().unwrap();
    let xen = dir.path().join("xen");
    // What passes for one at a first look: an ELF file with the magic numbers of both protocols.
    let mut bytes = vec![0; 4096];
    bytes[..5].copy_from_slice(b"\x7fELF\x01");
    bytes[8..12].copy_from_slice(&0x1bad_b002_u32.to_le_bytes());
    bytes[16..20].copy_from_slice(&0xe852_50d6_u32.to_le_bytes());
    fs::write(&xen, bytes).unwrap();
    let xen = xen.display().to_string();
    let (text, _logs) = run(4, &["--loader", "grub", "--xen", &xen, "example", "pv64"]);
    let words = "GRUB could not load Xen or what belongs to it: error: no multiboot header found.";
    assert!(text.contains(words), "{text}");
}
