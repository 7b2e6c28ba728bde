//! `merge` with the files of several hosts: what is missing, and where the logs are. The fake guest
//! does not care what was selected, so the tests are errors; nothing here depends on it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::world::World;

/// A share of a run of the three tests.
fn share(world: &World, share: &str, json: &str) {
    let args = ["run", "--partition", share, "--json", json];
    world.run(&args, "print", "success.log");
    assert!(world.path(json).is_file(), "{share}");
}

/// What it says of gaps.
fn gaps(world: &World, files: &[&str]) -> Vec<String> {
    let out = world.run_plain(&[&["merge"], files].concat());
    let gaps = out.stderr.lines().filter(|line| line.contains("gap: "));
    gaps.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn what_was_merged_can_be_merged_again() {
    let world = World::new();
    for number in 1..=3 {
        share(&world, &format!("count:{number}/3"), &format!("{number}.json"));
    }
    let out = world.run_plain(&["merge", "1.json", "2.json", "--json", "12.json"]);
    assert!(out.code >= 4 && out.stderr.contains("gap: no file has the share count:3/3"));
    assert_eq!(gaps(&world, &["12.json"]), ["gap: no file has the share count:3/3"]);
    let out = world.run_plain(&["merge", "12.json", "3.json", "1.json", "--json", "all.json"]);
    assert!(!out.stderr.contains("gap: "), "{out:?}");
    let all: Value =
        serde_json::from_str(&fs::read_to_string(world.path("all.json")).unwrap()).unwrap();
    assert_eq!(all["complete"], true);
    let files = all["parts"].as_array().unwrap().iter().map(|part| part["file"].as_str().unwrap());
    assert_eq!(files.collect::<Vec<_>>(), ["1.json", "2.json", "3.json"]);
}

#[test]
fn a_whole_run_has_every_share_of_it() {
    let world = World::new();
    share(&world, "count:1/3", "1.json");
    world.run(&["run", "--json", "whole.json"], "print", "success.log");
    world.run(&["run", "--xen", "./xen", "--json", "other.json"], "print", "success.log");
    world.run_plain(&["merge", "1.json", "whole.json", "--json", "both.json"]);
    for files in [&["1.json", "whole.json"][..], &["whole.json", "1.json"], &["both.json"]] {
        assert_eq!(gaps(&world, files), [""; 0], "{files:?}");
    }
    // A whole run of another Xen is no run of these tests.
    world.run_plain(&["merge", "1.json", "other.json", "--json", "two.json"]);
    for files in [&["1.json", "other.json"][..], &["two.json"]] {
        assert_eq!(gaps(&world, files).len(), 2, "{files:?}");
    }
}

#[test]
fn how_much_a_gap_lacks_is_not_known() {
    let world = World::new();
    share(&world, "count:1/2", "1.json");
    let reports = ["--json=m.json", "--junit=m.xml", "--ktap=m.ktap", "--html=m.html"];
    let out = world.run_plain(&[&["merge", "1.json"][..], &reports].concat());
    let why = "no file has the share count:2/2; it is not known how many tests are missing";
    let text = |name: &str| fs::read_to_string(world.path(name)).unwrap();
    for told in [out.stdout, text("m.xml"), text("m.html")] {
        assert!(told.contains(why) && !told.contains("0 tests not run"), "{told}");
    }
}

/// Where the links to logs on a page lead, of which there is one for each boot.
fn links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut links: Vec<String> = text
        .split("href=\"")
        .filter_map(|rest| rest.split_once('"')?.0.strip_suffix("/xen.log").map(str::to_owned))
        .collect();
    links.sort();
    links.dedup();
    links
}

#[test]
fn links_lead_to_the_logs_of_every_share() {
    let world = World::new();
    for number in ["1", "2"] {
        let (partition, folder) = (format!("count:{number}/2"), format!("share-{number}"));
        let (logs, json) = (format!("{folder}/logs"), format!("{folder}/results/results.json"));
        let args = ["run", "--partition", &partition, "--logs", &logs, "--json", &json];
        world.run(&args, "print", "success.log");
    }
    let files = ["share-1/results/results.json", "share-2/results/results.json"];
    let merge = |to: &str| {
        world.run_plain(&[&["merge"], &files[..], &["--html", to]].concat());
        let folder = world.path(to).parent().unwrap().to_owned();
        let links = links(&world.path(to));
        assert_eq!(links.len(), 2, "{links:?}");
        for (link, share) in links.iter().zip(["share-1/logs/", "share-2/logs/"]) {
            assert!(link.contains(share) && !link.contains(':'), "{link}");
            assert!(folder.join(link).join("xen.log").is_file(), "{link}");
        }
    };
    merge("m.html");
    merge("out/m.html");

    // On another host, all is somewhere else: the file that was in results/ may lie above it.
    fs::create_dir(world.path("host")).unwrap();
    for number in ["1", "2"] {
        let share = world.path(&format!("share-{number}"));
        fs::rename(&share, world.path(&format!("host/share-{number}"))).unwrap();
    }
    fs::rename(world.path("host"), world.path("moved")).unwrap();
    let above = world.path("moved/share-2");
    fs::rename(above.join("results/results.json"), above.join("results.json")).unwrap();
    let files = ["moved/share-1/results/results.json", "moved/share-2/results.json"];
    let both = ["--html", "moved/m.html", "--json", "moved/m.json"];
    world.run_plain(&[&["merge"], &files[..], &both].concat());
    let found = links(&world.path("moved/m.html"));
    for (link, share) in found.iter().zip(["share-1/logs/", "share-2/logs/"]) {
        assert!(link.starts_with(share), "{link}");
        assert!(world.path("moved").join(link).join("xen.log").is_file(), "{link}");
    }
    assert_eq!(found.len(), 2);

    // What was merged is moved, too.
    fs::rename(world.path("moved"), world.path("again")).unwrap();
    world.run_plain(&["merge", "again/m.json", "--html", "again/n.html"]);
    assert_eq!(links(&world.path("again/n.html")), found);
}
