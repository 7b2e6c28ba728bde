//! Backend `xl` on this machine, with a fake xl: what the agent does when things go wrong, and that
//! no end of the runner leaves a domain behind.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Output, World, fixture, wait_for};

struct Host {
    world: World,
}

impl Host {
    fn new() -> Host {
        let world = World::new();
        fs::create_dir(world.path("domains")).unwrap();
        fs::create_dir(world.path("tmp")).unwrap();
        Host { world }
    }

    fn command(&self, mode: &str, args: &[&str]) -> std::process::Command {
        self.of(mode, "success.log", &[&["run", "--backend", "xl"], args].concat())
    }

    /// A command whose domains print `log`.
    fn of(&self, mode: &str, log: &str, args: &[&str]) -> std::process::Command {
        let mut command = self.world.command(args, "print", log);
        let path = env::split_paths(&env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        let path = env::join_paths([fixture("fake-xl")].into_iter().chain(path)).unwrap();
        command.env("PATH", path).env("FAKE_XL", mode).env("DOMAINS", self.world.path("domains"));
        command.env("TMPDIR", self.world.path("tmp"));
        command
    }

    fn run(&self, mode: &str, args: &[&str]) -> Output {
        self.command(mode, args).output().unwrap().into()
    }

    fn spawn(&self, mode: &str, args: &[&str]) -> Child {
        self.command(mode, args).spawn().unwrap()
    }

    fn domains(&self) -> Vec<String> {
        let entries = fs::read_dir(self.world.path("domains")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The configuration of the last domain.
    fn configuration(&self) -> String {
        fs::read_to_string(self.world.path("domains.last")).unwrap()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.world.boot_dir("001-").join(name)).unwrap()
    }

    /// Processes of ours, by what is in their environment.
    fn processes(&self) -> Vec<String> {
        let ours = format!("DOMAINS={}", self.world.path("domains").display());
        let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let path = entry.ok()?.path();
            let environment = fs::read(path.join("environ")).ok()?;
            let mut words = environment.split(|&byte| byte == 0);
            let command = fs::read(path.join("cmdline")).ok()?;
            words.any(|word| word == ours.as_bytes()).then_some(())?;
            Some(String::from_utf8_lossy(&command).replace('\0', " "))
        });
        entries.filter(|command| !command.is_empty()).collect()
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.domains(), Vec::<String>::new());
        wait_for("a process was left", || self.processes().is_empty());
        let image = self.configuration();
        let image = image.lines().find_map(|line| line.strip_prefix("kernel=\"")).unwrap();
        let folder = Path::new(image.trim_end_matches('"')).parent().unwrap();
        assert!(!folder.exists(), "{}", folder.display());
    }
}

#[test]
fn success() {
    let host = Host::new();
    let out = host.run("", &[]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("] xl pv64  args (3 cases, 1 tolerated)"), "{out:?}");
    let configuration = host.configuration();
    assert!(configuration.starts_with("name=\"xtf-"), "{configuration}");
    assert!(configuration.contains("\ncmdline=\"tests=example,args,needy\"\n"), "{configuration}");
    host.nothing_is_left();
}

#[test]
fn what_comes_after_the_end_is_not_lost() {
    let host = Host::new();
    let out = host.run("late", &[]);
    assert_eq!(out.code, 0, "{out:?}");
}

#[test]
fn a_failed_create_is_an_error_in_xls_words_and_the_rest_goes_on() {
    let host = Host::new();
    let out = host.run("no-create", &["--isolate"]);
    assert_eq!(out.code, 4, "{out:?}");
    let words = "libxl: error: xc_dom_boot_mem_init: out of memory; cannot create xtf-";
    assert_eq!(out.stdout.matches("ERROR [").count(), 9, "{out:?}");
    assert!(out.stdout.contains(words), "{out:?}");
    assert!(out.stdout.contains("3 boots, 3 tests"), "{out:?}");
}

#[test]
fn a_console_or_an_unpause_that_fails_is_an_error_too() {
    for (mode, words) in [
        ("no-console", "xenconsole: could not open a tty; the console of xtf-"),
        ("no-unpause", "libxl: error: unpause refused; cannot unpause xtf-"),
    ] {
        let host = Host::new();
        let out = host.run(mode, &["example"]);
        assert_eq!(out.code, 4, "{mode} {out:?}");
        assert!(out.stdout.contains(words), "{mode} {out:?}");
        host.nothing_is_left();
    }
}

#[test]
fn a_hang_is_a_timeout_and_the_domain_is_destroyed() {
    let host = Host::new();
    host.world.hurry_args();
    let out = host.run("hang", &["example", "args"]);
    assert_eq!(out.code, 7, "{out:?}");
    assert!(out.stdout.contains("no result within 1 s"), "{out:?}");
    assert!(out.stdout.contains("† list/a: no result within 1 s"), "{out:?}");
    assert!(host.log("xl.log").contains("agent: stopping xtf-"), "{out:?}");
    host.nothing_is_left();
}

#[test]
fn a_crash_is_told_in_xens_words_about_this_domain() {
    let host = Host::new();
    let out = host.run("crash", &["example", "args"]);
    assert_eq!(out.code, 6, "{out:?}");
    assert!(out.stdout.contains("| (XEN) d7v0 Triple fault"), "{out:?}");
    assert!(out.stdout.contains("| (XEN) RIP: "), "{out:?}");
    assert!(!out.stdout.contains("d70") && !out.stdout.contains("save: CPU"), "{out:?}");
    assert!(!host.log("guest.log").contains("printed by the domain"));
    host.nothing_is_left();
}

#[test]
fn what_this_xen_cannot_run_is_skipped_with_the_reason() {
    let host = Host::new();
    let meta = "{'name':'example','title':'t','category':'functional','environments':\
                ['pv64','pvh64','hvm64'],'needs':[],'own_boot':false,'vcpus':1,'timeout_s':9,\
                'default':true,'cases':['hello','other']}\n";
    host.world.image("xtf", ".xtf.meta", meta.replace('\'', "\"").as_bytes());
    let out = host.run("no-hvm", &["--env", "pvh64,hvm64"]);
    assert_eq!(out.code, 3, "{out:?}");
    let why = "example: this Xen host cannot run HVM and PVH guests (xen_caps: xen-3.0-x86_64; \
               virt_caps: pv)";
    assert_eq!(out.stdout.matches(why).count(), 2, "{out:?}");
    assert_eq!(out.sums(), "0 passed, 0 failed, 2 skipped");
}

#[test]
fn what_is_no_xen_host_is_said() {
    let host = Host::new();
    let out = host.run("no-xen", &[]);
    assert_eq!(out.code, 69, "{out:?}");
    let why = "`xl info` fails on this machine: libxl: error: cannot open libxl's handles";
    assert!(out.stderr.contains(why) && out.stderr.contains("--backend qemu-xl"), "{out:?}");
}

#[test]
fn a_domain_that_stays_is_reported() {
    let host = Host::new();
    host.world.hurry_args();
    let out = host.run("immortal", &["example", "args"]);
    assert_eq!(out.code, 7, "{out:?}");
    assert!(host.log("xl.log").contains("agent: cannot destroy xtf-"), "{out:?}");
    assert!(out.stderr.contains("which had been left behind"), "{out:?}");
    host.nothing_is_left();
}

/// Ends the runner while a domain runs, or while it is being created.
#[track_caller]
fn no_domain_is_left(mode: &str, signal: Signal, code: i32) {
    let host = Host::new();
    let runner = host.spawn(mode, &["example", "args"]);
    match mode {
        "slow-create" => wait_for("no xl create", || host.world.path("domains.last").exists()),
        _ => wait_for("no domain", || !host.domains().is_empty()),
    }
    kill_process(Pid::from_child(&runner), signal).unwrap();
    // Only now does a slow xl make the domain.
    host.world.file("domains.go", "");
    let out = Output::from(runner.wait_with_output().unwrap());
    assert_eq!(out.code, code, "{out:?}");
    wait_for("the domain outlived the runner", || {
        host.world.path("domains.created").exists() && host.domains().is_empty()
    });
    wait_for("a process was left", || host.processes().is_empty());
    wait_for("something was left", || {
        let image = host.configuration();
        let image = image.lines().find_map(|line| line.strip_prefix("kernel=\"")).unwrap();
        !Path::new(image.trim_end_matches('"')).parent().unwrap().exists()
    });
}

#[test]
fn sigint_leaves_no_domain() {
    no_domain_is_left("hang", Signal::INT, 130);
}

#[test]
fn sigint_in_a_creation_leaves_no_domain() {
    no_domain_is_left("slow-create", Signal::INT, 130);
}

#[test]
fn sigterm_leaves_no_domain() {
    no_domain_is_left("hang", Signal::TERM, 143);
}

#[test]
fn sigterm_in_a_creation_leaves_no_domain() {
    no_domain_is_left("slow-create", Signal::TERM, 143);
}

#[test]
fn sigkill_leaves_no_domain() {
    no_domain_is_left("hang", Signal::KILL, -1);
}

#[test]
fn sigkill_in_a_creation_leaves_no_domain() {
    no_domain_is_left("slow-create", Signal::KILL, -1);
}

#[test]
fn a_dry_run_shows_the_domain_and_touches_nothing() {
    let host = Host::new();
    let out = host.run("no-xen", &["--dry-run", "example", "--cmdline", "linger=1"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.starts_with("# on this machine\n# agent xtf-"), "{out:?}");
    assert!(out.stdout.contains("\ncmdline=\"tests=example linger=1\"\n"), "{out:?}");
    assert!(!host.world.path("logs").exists());
}

/// The guest's half of `fuzz hypercall`, where Xen grants a call.
const GRANTED: &str = "\
--- Xen Test Framework ---
Environment: PV 64bit (Long mode 4 levels)
xtf-rs 0.1.0: 1 test selected
KTAP version 1
# xen: 4.17.7 debug=n changeset=
1..1
  KTAP version 1
  # Subtest: hypercall-fuzz
  1..1
  #> seed=1 step=3 kexec_op [6, 0, 0, 0, 0]
  # step 3: kexec_op: answers success, not an error
  not ok 1 xen_lives_on_and_grants_nothing
not ok 1 hypercall-fuzz
Test result: FAILURE
";

#[test]
fn the_fuzzer_tells_its_domains_and_the_script_which_calls_to_make() {
    let host = Host::new();
    let meta = "{'name':'hypercall-fuzz','title':'A title','category':'special',\
                'environments':['pv64'],'needs':[],'own_boot':true,'vcpus':1,'timeout_s':300,\
                'default':false,'cases':['xen_lives_on_and_grants_nothing']}\n";
    host.world.image("fuzzing", ".xtf.meta", meta.replace('\'', "\"").as_bytes());
    let log = host.world.file("granted.log", GRANTED);
    let fuzz = |more: &[&str]| -> Output {
        let args = ["fuzz", "hypercall", "--backend", "xl", "--image", "fuzzing", "--env", "pv64"];
        let args = [&args[..], &["--seconds", "1"], more].concat();
        host.of("", log.to_str().unwrap(), &args).output().unwrap().into()
    };
    let out = fuzz(&["--only", "memory_op,37,sched_op", "--except", "memory_op.exchange,20.7"]);
    assert_eq!(out.code, 5, "{out:?}");
    let words = "only=memory_op,37,sched_op except=memory_op.exchange,20.7";
    let configuration = host.configuration();
    assert!(configuration.contains(&format!(" {words}\"\n")), "{configuration}");
    let findings = fs::read_dir(host.world.path("fuzz-findings")).unwrap();
    let findings = findings.last().unwrap().unwrap().path();
    let script = fs::read_to_string(findings.join("hypercall-grants-kexec-op.sh")).unwrap();
    assert!(script.contains(&format!(" every=1 {words}'\n")), "{script}");
    let never = "--only: never made is memory_op.add_to_physmap, which can take away";
    assert!(out.stderr.contains(never), "{out:?}");

    fs::remove_file(host.world.path("domains.created")).unwrap();
    let out = fuzz(&["--only", "sched_op.shutdown,kexec_op", "--except", "37"]);
    assert_eq!(out.code, 66, "{out:?}");
    let nothing = "leave nothing to call (never made is sched_op.shutdown, which is the domain's \
                   deliberate end)";
    assert!(out.stderr.contains(nothing), "{out:?}");
    assert!(!host.world.path("domains.created").exists());
}
