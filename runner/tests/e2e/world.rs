//! A workspace of its own for each test: image, Xen, configuration, fake QEMU.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, SectionKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// For what comes sooner or later, whatever else the machine has to do: only a test that fails
/// waits so long.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until something is so.
#[track_caller]
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10));
    }
}

/// A file of tests/fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What a finished runner left.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Output {
    /// The line with the sums of all tests; what failed stands below it.
    pub fn sums(&self) -> &str {
        let sums = |line: &&str| line.contains(" passed") && line.ends_with(" skipped");
        self.stdout.lines().rfind(sums).unwrap_or_default()
    }
}

pub struct World {
    dir: TempDir,
}

impl World {
    pub fn new() -> World {
        let world = World { dir: tempfile::tempdir().unwrap() };
        world.file(
            "xtf-runner.toml",
            "default-xen = ['fake']\n[hypervisor.fake]\npath = 'xen'\n[qemu]\nboot-timeout-s = 300\n",
        );
        // The least that passes for a Xen: ELF32 and a multiboot header.
        let mut xen = b"\x7fELF\x01\x01\x01\0".to_vec();
        xen.extend(0x1bad_b002_u32.to_le_bytes());
        fs::write(world.path("xen"), xen).unwrap();

        let tests = [
            ("example", "'hello','other'"),
            ("args", "'list/a','list/b','get/c'"),
            ("needy", "'x'"),
        ];
        let meta: String = tests
            .iter()
            .map(|(name, cases)| {
                format!(
                    "{{'name':'{name}','title':'A title','category':'functional',\
                     'environments':['pv64'],'needs':[],'own_boot':false,'vcpus':1,\
                     'timeout_s':300,'default':true,'cases':[{cases}]}}\n"
                )
                .replace('\'', "\"")
            })
            .collect();
        world.image("xtf", ".xtf.meta", meta.as_bytes());
        for name in ["pipe", "pipe.never"] {
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, world.path(name), FileType::Fifo, mode, 0).unwrap();
        }
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Gives the test `args`, and no other, one second.
    pub fn hurry_args(&self) {
        let path = self.path("xtf-runner.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(path, config + "[test.args]\ntimeout-s = 1\n").unwrap();
    }

    /// Writes an ELF file with one section.
    pub fn image(&self, name: &str, section: &str, data: &[u8]) {
        let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let id = elf.add_section(Vec::new(), section.into(), SectionKind::ReadOnlyData);
        elf.append_section_data(id, data, 1);
        fs::write(self.path(name), elf.write().unwrap()).unwrap();
    }

    /// The boot folder whose name begins so.
    pub fn boot_dir(&self, prefix: &str) -> PathBuf {
        fs::read_dir(self.path("logs/latest"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
            .unwrap_or_else(|| panic!("no boot {prefix}"))
    }

    fn environment(&self, command: &mut Command, behaviour: &str, log: &str) {
        command
            .current_dir(self.dir.path())
            .env("FAKE_QEMU", behaviour)
            .env("LOG", fixture(log))
            .env("CRASH_LOG", fixture("xen-panic.log"))
            .env("BAD_LOG", fixture("good.log"))
            .env("XEN", self.path("xen"))
            .env("PIPE", self.path("pipe"))
            .env_remove("XTF_CACHE")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    /// The runner with its arguments and environment, for those who change more of it.
    pub fn command(&self, args: &[&str], behaviour: &str, log: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
        command.args(args);
        let run = matches!(args.first(), Some(&("run" | "mutate" | "coverage")));
        if (run || args.first() == Some(&"list")) && !args.contains(&"--image") {
            command.arg("--image").arg(self.path("xtf"));
        }
        if args.first() == Some(&"run") && !args.contains(&"--accel") {
            // Whether there is a KVM to try is up to the machine.
            command.arg("--accel").arg("tcg");
        }
        if run && !args.contains(&"--qemu") {
            command.arg("--qemu").arg(fixture("fake-qemu.sh"));
        }
        self.environment(&mut command, behaviour, log);
        command
    }

    pub fn spawn(&self, args: &[&str], behaviour: &str, log: &str) -> Child {
        self.command(args, behaviour, log).spawn().unwrap()
    }

    /// Runs to the end. A fake QEMU that announces itself needs a reader, whom nobody waits for.
    pub fn run(&self, args: &[&str], behaviour: &str, log: &str) -> Output {
        let _reader = File::options().read(true).write(true).open(self.path("pipe")).unwrap();
        self.command(args, behaviour, log).output().unwrap().into()
    }

    /// Runs what boots nothing.
    pub fn run_plain(&self, args: &[&str]) -> Output {
        self.command(args, "print", "good.log").output().unwrap().into()
    }

    /// Runs with a fake QEMU that does what a shell's script says.
    pub fn script(&self, args: &[&str], script: &str, log: &str) -> Output {
        let mut command = self.command(args, "script", log);
        command.env("SCRIPT", script).output().unwrap().into()
    }

    /// The runner on a Xen from a fake Debian archive, whose downloads go so.
    pub fn fetching(&self, download: &str) -> Command {
        self.fetching_for(&["run", "--xen", "deb"], download)
    }

    /// Another command that needs it.
    pub fn fetching_for(&self, args: &[&str], download: &str) -> Command {
        self.file(
            "xtf-runner.toml",
            "[hypervisor.deb]\ndebian = { suite = 'sid', package = 'xen' }\n\
             toolstack = { suite = 'sid', package = 'xl' }\n",
        );
        let mut command = self.command(args, "print", "success.log");
        let path = env::join_paths(
            [fixture("fake-apt")]
                .into_iter()
                .chain(env::split_paths(&env::var_os("PATH").unwrap())),
        );
        command.env("PATH", path.unwrap()).env("FAKE_APT", download);
        command.env("DOWNLOADS", self.path("downloads"));
        command
    }

    /// How many downloads were begun.
    pub fn downloads(&self) -> usize {
        fs::read_to_string(self.path("downloads")).unwrap_or_default().lines().count()
    }

    /// How often the archive was looked at.
    pub fn looks(&self) -> usize {
        fs::read_to_string(self.path("downloads.looks")).unwrap_or_default().lines().count()
    }

    /// Lets so many hours go by for what the cache knows of the package.
    pub fn let_hours_pass(&self, hours: u64) {
        let edit = |name: &str, of: &mut dyn FnMut(&mut serde_json::Value)| {
            let path = self.path(".cache").join(name);
            let text = fs::read(&path).unwrap();
            let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            of(&mut json);
            fs::write(&path, json.to_string()).unwrap();
        };
        let earlier = |time: &mut serde_json::Value| {
            if let Some(then) = time.as_u64() {
                *time = (then - hours * 3600).into();
            }
        };
        edit("apt-sid/looked.json", &mut |json| earlier(&mut json["at"]));
        edit("debian-sid-xen.json", &mut |json| {
            earlier(&mut json["look"]);
            if json["failure"].is_array() {
                earlier(&mut json["failure"][0]);
            }
        });
    }

    /// Waits for the announcement of a slow download.
    pub fn wait_for_apt(&self) -> FakeQemus {
        self.wait_for_qemus(1)
    }

    pub fn run_without_path(&self, args: &[&str]) -> Output {
        self.command(args, "print", "good.log").env("PATH", "").output().unwrap().into()
    }

    /// Runs a line in a shell.
    pub fn shell(&self, line: &str, behaviour: &str, log: &str) -> Output {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        self.environment(&mut command, behaviour, log);
        command.output().unwrap().into()
    }

    /// Waits for the announcements of `count` fake QEMUs.
    pub fn wait_for_qemus(&self, count: usize) -> FakeQemus {
        let mut pipe = BufReader::new(File::open(self.path("pipe")).unwrap());
        let mut pids = Vec::new();
        let mut line = String::new();
        while pids.len() < count {
            line.clear();
            // Before the first one opens the other end, this waits; between two, it may not.
            match pipe.read_line(&mut line).unwrap() {
                0 => sleep(Duration::from_millis(10)),
                _ => pids.push(Pid::from_raw(line.trim().parse().unwrap()).unwrap()),
            }
        }
        FakeQemus { pids, pipe: pipe.into_inner() }
    }
}

/// Running fake QEMUs, which alone hold the other end of the pipe.
pub struct FakeQemus {
    pids: Vec<Pid>,
    pipe: File,
}

impl FakeQemus {
    /// Waits for their death, which the pipe shows as hang-up; kills them if they just live on.
    pub fn die(self) -> bool {
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let mut fds = [PollFd::new(&self.pipe, PollFlags::empty())];
        let dead = poll(&mut fds, Some(&patience)).unwrap() == 1;
        if !dead {
            for pid in self.pids {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        dead
    }
}
