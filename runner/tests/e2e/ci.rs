//! The files of docs/ci, run: what their jobs have a shell do, on a machine each. make, sudo and apt-get
//! have stand-ins there: the package is made and unpacked, and nothing is built or installed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use roxmltree::Document;

use crate::ci_steps::{self, Job};
use crate::world::{World, fixture};

/// A guest that does what its command line says. With BROKEN, a claim is.
const HONEST: &str = r#"
list=${module#*tests=}; list=${list%% *}; number=0
say() { printf '%s\n' "$@"; }
set -- $(say "$list" | tr -s , ' ')
say '--- Xen Test Framework ---' 'Environment: PV 64bit' 'KTAP version 1' "1..$#"
status=SUCCESS
for test; do
    number=$((number + 1))
    case $test in example) cases='hello other' ;; args) cases='list/a list/b get/c' ;; *) cases=x ;; esac
    say '  KTAP version 1' "  # Subtest: $test" "  1..$(echo $cases | wc -w)"
    n=0; ok=ok
    for case in $cases; do
        n=$((n + 1))
        case ${BROKEN-}$case in
        yeslist/b) ok='not ok'; status=FAILURE; say '  # expected 1, got 2' "  not ok $n $case" ;;
        *) say "  ok $n $case" ;;
        esac
    done
    say "$ok $number $test"
done
say "Test result: $status"
"#;

const MAKE: &str = r#"#!/bin/sh
[ "$1" != -C ] || { cd "$2"; shift 2; }
for target; do grep -q "^$target:" "$MAKEFILE" || exit 2; done
case $target in dist) mkdir -p target/dist && cp "$PACKAGE_MADE" target/dist/ ;; esac
"#;

const APT_GET: &str = r#"#!/bin/sh
for word; do case $word in /*.deb | ./*.deb) dpkg-deb -x "$word" "$ROOT" ;; esac; done
"#;

/// A package in which the program is a link to the one that was built. What the real one holds is the
/// matter of `dist_real.rs`.
fn package(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_xtf-runner"), root.join("usr/bin/xtf-runner")).unwrap();
    let control = "Package: xtf-rs\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@localhost>\n\
                   Description: x\n";
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    let package = dir.join("xtf-rs_1_amd64.deb");
    let made = Command::new("dpkg-deb").arg("--build").arg(root).arg(&package).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    package
}

/// A machine of the service.
struct Machine {
    world: World,
}

impl Machine {
    fn new() -> Machine {
        let world = World::new();
        // In the package, it is beside the program.
        let built = world.path("target/x86_64-unknown-none/release");
        fs::create_dir_all(&built).unwrap();
        fs::rename(world.path("xtf"), built.join("xtf")).unwrap();
        fs::create_dir_all(world.path("binaries")).unwrap();
        fs::copy(world.path("xen"), world.path("binaries/xen")).unwrap();
        let bin = world.path("bin");
        fs::create_dir(&bin).unwrap();
        symlink(fixture("fake-qemu.sh"), bin.join("qemu-system-x86_64")).unwrap();
        for (name, text) in
            [("make", MAKE), ("apt-get", APT_GET), ("sudo", "#!/bin/sh\nexec \"$@\"\n")]
        {
            world.file(&format!("bin/{name}"), text);
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Machine { world }
    }

    /// Does the job, and returns its exit code and what it said.
    fn does(
        &self,
        job: &Job,
        share: (usize, usize),
        package: &Path,
        broken: bool,
    ) -> (i32, String) {
        assert!(!job.script.is_empty());
        let template = self.world.command(&[], "script", "success.log");
        let environment = template.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let root = self.world.path("installed");
        let path = std::env::var("PATH").unwrap();
        let path =
            format!("{}:{}/usr/bin:{path}", self.world.path("bin").display(), root.display());
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut shell = Command::new("bash");
        shell.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &job.script]);
        shell.current_dir(self.world.path(".")).envs(environment).env("PATH", path);
        shell.env("SCRIPT", HONEST).env("BROKEN", if broken { "yes" } else { "" });
        shell.env("HOME", self.world.path("home")).env("ROOT", root).env("PACKAGE_MADE", package);
        shell.env("MAKEFILE", workspace.join("Makefile"));
        shell.env("GITHUB_ACTION_PATH", self.world.path("docs/ci/github-action"));
        shell.env("SHARE", share.0.to_string()).env("CI_NODE_INDEX", share.0.to_string());
        shell.env("CI_NODE_TOTAL", share.1.to_string());
        shell.env("GITHUB_STEP_SUMMARY", self.world.path("summary.md"));
        let out = shell.output().unwrap();
        let said = [&*out.stdout, b"\n", &*out.stderr].concat();
        (out.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Takes over what the service keeps of a job on another machine.
    #[track_caller]
    fn gets(&self, job: &Job, from: &Machine, into: &str) {
        let into = self.world.path(into);
        fs::create_dir_all(&into).unwrap();
        let copy = format!("tar -c {} | tar -x -C {}", job.kept.join(" "), into.display());
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", &copy]).current_dir(from.world.path("."));
        let done = shell.output();
        assert!(done.as_ref().is_ok_and(|done| done.status.success()), "{copy}: {done:?}");
    }
}

/// A CI system: its jobs, and where it puts things.
struct Service {
    name: &'static str,
    package: Option<Job>,
    /// Where the other jobs find the package.
    package_at: &'static str,
    shares: usize,
    share: fn(usize) -> Job,
    /// Where the report finds what is left of a share.
    share_at: fn(usize) -> String,
    report: Job,
    junit: &'static str,
    html: &'static str,
}

const GITLAB: &str = include_str!("../../../docs/ci/gitlab-ci.yml");
const XEN: &str = include_str!("../../../docs/ci/gitlab-xen.yml");

fn services() -> [Service; 4] {
    let results = ("results/junit.xml", "results/index.html");
    [
        Service {
            name: "github-actions.yml",
            package: Some(ci_steps::github("package", 0)),
            package_at: "package",
            shares: 4,
            share: |share| ci_steps::github("test", share),
            share_at: |share| format!("share-{share}"),
            report: ci_steps::github("report", 0),
            junit: results.0,
            html: results.1,
        },
        Service {
            name: "gitlab-ci.yml",
            package: Some(ci_steps::gitlab(GITLAB, "package")),
            package_at: "target/dist",
            shares: 4,
            share: |_| ci_steps::gitlab(GITLAB, "test"),
            share_at: |_| ".".to_owned(),
            report: ci_steps::gitlab(GITLAB, "report"),
            junit: results.0,
            html: results.1,
        },
        Service {
            name: "gitlab-xen.yml",
            package: None,
            package_at: "target/dist",
            shares: 2,
            share: |_| ci_steps::gitlab(XEN, "qemu-xtf-rs-x86_64-gcc-debug"),
            share_at: |_| ".".to_owned(),
            report: ci_steps::gitlab(XEN, "qemu-xtf-rs-x86_64-gcc-debug-report"),
            junit: "xtf-rs.xml",
            html: "xtf-rs.html",
        },
        Service {
            name: "Jenkinsfile",
            package: Some(ci_steps::jenkins("package", 0)),
            package_at: "stashes/package/target/dist",
            shares: 4,
            share: |share| ci_steps::jenkins("test", share),
            share_at: |share| format!("stashes/share-{share}"),
            report: ci_steps::jenkins("report", 0),
            junit: results.0,
            html: results.1,
        },
    ]
}

/// What goes wrong in a run.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// Xen breaks a claim.
    Broken,
    /// What the first host did is lost.
    Lost,
}

/// Runs the jobs that test, on a machine each, and then the one that makes a report of what these leave.
/// Returns the exit codes and the report.
fn run(service: &Service, package: &Path, trouble: Trouble) -> (Vec<i32>, i32, String) {
    let broken = trouble == Trouble::Broken;
    let brought = |machine: &Machine| {
        let dist = machine.world.path(service.package_at);
        fs::create_dir_all(&dist).unwrap();
        fs::copy(package, dist.join("xtf-rs_1_amd64.deb")).unwrap();
    };
    let together = Machine::new();
    brought(&together);
    let mut codes = Vec::new();
    for share in 1..=service.shares {
        let machine = Machine::new();
        brought(&machine);
        let job = (service.share)(share);
        let (code, said) = machine.does(&job, (share, service.shares), package, broken);
        assert!(code == 0 || (broken && code == 5), "{} {share}: {said}", service.name);
        codes.push(code);
        if trouble == Trouble::Lost && share == 1 {
            continue;
        }
        together.gets(&job, &machine, &(service.share_at)(share));
    }
    let logs =
        Command::new("find").arg(together.world.path(".")).args(["-name", "xen.log"]).output();
    assert!(!logs.unwrap().stdout.is_empty(), "{}: the logs are not kept", service.name);
    let (code, said) = together.does(&service.report, (0, 0), package, broken);
    assert!(code == 0 || trouble != Trouble::None, "{}: {said}", service.name);
    let kept = Machine::new();
    kept.gets(&service.report, &together, "kept");
    assert!(kept.world.path("kept").join(service.html).is_file(), "{}", service.name);
    let junit = kept.world.path("kept").join(service.junit);
    (codes, code, fs::read_to_string(junit).unwrap())
}

#[test]
fn the_shares_of_a_ci_run_are_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let package = package(dir.path());
    for service in services() {
        let name = service.name;
        if let Some(job) = &service.package {
            let machine = Machine::new();
            let (code, said) = machine.does(job, (0, 0), &package, false);
            assert_eq!(code, 0, "{name}: {said}");
            assert!(machine.world.path("target/dist/xtf-rs_1_amd64.deb").is_file(), "{name}");
        }
        for (trouble, code, failures) in [(Trouble::None, 0, "0"), (Trouble::Broken, 5, "1")] {
            let (codes, whole, junit) = run(&service, &package, trouble);
            // The share with that test fails, and no other.
            let failed = codes.iter().filter(|one| **one != 0).count();
            assert_eq!(failed, usize::from(trouble == Trouble::Broken), "{name}");
            assert_eq!(whole, code, "{name}");
            let junit = Document::parse(&junit).unwrap();
            let root = junit.root_element();
            assert_eq!(root.attribute("failures"), Some(failures), "{name}");
            let classes = root.descendants().filter_map(|node| node.attribute("classname"));
            let tests: BTreeSet<&str> =
                classes.filter_map(|class| class.rsplit('.').next()).collect();
            assert_eq!(tests, BTreeSet::from(["args", "example", "needy"]), "{name}");
        }
    }
}

#[test]
fn a_share_that_was_lost_is_an_error_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let package = package(dir.path());
    for service in services() {
        let (codes, whole, junit) = run(&service, &package, Trouble::Lost);
        assert!(codes.iter().all(|code| *code == 0), "{}", service.name);
        assert_eq!(whole, 4, "{}", service.name);
        let share = format!("hash:1/{}", service.shares);
        assert!(junit.contains(&format!("no file has the share {share}")), "{}", service.name);
    }
}

#[test]
fn the_action_alone_is_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let package = package(dir.path());
    let machine = Machine::new();
    fs::create_dir_all(machine.world.path("docs/ci/github-action")).unwrap();
    // Nobody has made the package: the action does.
    let inputs = [("xen", "binaries/xen ./xen"), ("options", "--retries 1 --ktap results/r.ktap")];
    let job = ci_steps::github_action(&inputs);
    let (code, said) = machine.does(&job, (0, 0), &package, false);
    assert_eq!(code, 0, "{said}");
    let summary = fs::read_to_string(machine.world.path("summary.md")).unwrap();
    for told in [said, summary] {
        assert!(told.contains("2 boots, 6 tests"), "{told}");
    }
    let kept = Machine::new();
    kept.gets(&job, &machine, "kept");
    let results = ["junit.xml", "index.html", "results.json", "r.ktap"];
    let results = results.map(|name| format!("results/{name}"));
    for file in results.iter().map(String::as_str).chain(["logs/latest"]) {
        assert!(kept.world.path("kept").join(file).exists(), "{file}");
    }
}
