//! SIGKILL of the runner at any moment: no QEMU is left, no report that calls itself whole, and
//! nothing that is in the next run's way.
//!
//! CI kills some. `make test-broken` kills 100 of each, or `$KILLS`.

use std::env;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Instant;

use serde_json::Value;

use crate::broken::{Dice, reader, wait_for_the_end_of_all};
use crate::mutate;
use crate::world::{Output, World, wait_for};

/// What CI does.
const KILLS: &str = "6";

/// Kills commands at moments that are spread over the time that one takes. Before each kill, `next`
/// makes the command; after it, `check` looks at what is left.
fn kill(world: &World, next: &dyn Fn(usize) -> Command, check: &dyn Fn(usize)) {
    let start = Instant::now();
    assert_eq!(Output::from(next(1).output().unwrap()).code, 0);
    let time = start.elapsed();
    let kills = env::var("KILLS").unwrap_or_else(|_| KILLS.into()).parse().unwrap();
    let mut dice = Dice(0);
    for number in 0..kills {
        let mut qemus = reader(world);
        let mut command = next(number);
        command.env("ANNOUNCE", "yes");
        // Such a machine does not leave before the runner, and is there when that is killed.
        let lingers = number.is_multiple_of(2) && command.get_args().next() == Some("run".as_ref());
        if lingers {
            command.env("FAKE_QEMU", "linger");
        }
        let mut runner = command.spawn().unwrap();
        if lingers {
            wait_for(
                "no QEMU began",
                || matches!(qemus.read(&mut [0; 64]), Ok(count) if count > 0),
            );
        }
        sleep(time.mul_f64(dice.below(1000) as f64 / 1000.0));
        runner.kill().unwrap();
        runner.wait().unwrap();
        wait_for_the_end_of_all(qemus);
        check(number);
    }
}

/// What is left of a report is a whole file, and speaks of its run as it was.
fn check_report(path: &Path, number: usize) {
    let Ok(text) = fs::read(path) else { return };
    let json: Value = serde_json::from_slice(&text).unwrap();
    let tests = json["tests"].as_array().unwrap().len();
    let whole = json["complete"] == true;
    assert!(!whole || tests == 3, "kill {number}: {json}");
    assert!(whole || !json["incomplete_because"].is_null(), "kill {number}: {json}");
}

#[test]
fn a_run_that_is_killed_is_in_nobodys_way() {
    let world = World::new();
    let next = |number: usize| {
        // Every other one finds no cache.
        if number.is_multiple_of(2) {
            let _ = fs::remove_dir_all(world.path(".cache"));
        }
        let mut command = world.fetching("whole");
        command.args(["--json", "r.json"]);
        command
    };
    kill(&world, &next, &|number| {
        check_report(&world.path("r.json"), number);
        let out = Output::from(world.fetching("whole").output().unwrap());
        assert_eq!((out.code, out.sums()), (0, "2 passed, 0 failed, 1 skipped"), "{out:?}");
        let rests = fs::read_dir(world.path(".cache")).unwrap().map(|entry| entry.unwrap());
        let names = rests.map(|entry| entry.file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with(".new")).count(), 0, "kill {number}");
    });
}

#[test]
fn a_campaign_that_is_killed_is_resumed() {
    let world = mutate::world();
    let args = ["mutate", "--jobs=2", "--out=out.jsonl", "--resume"];
    let next = |_| {
        let _ = fs::remove_file(world.path("out.jsonl"));
        world.command(&args, "mutants", "success.log")
    };
    kill(&world, &next, &|number| {
        let out = world.run(&args, "mutants", "success.log");
        assert_eq!(out.code, 0, "kill {number}: {out:?}");
        assert!(out.stdout.contains("2 of 3 mutants killed (66 %)\n"), "kill {number}: {out:?}");
    });
}
