//! A guest, a Xen and a document that want more than to be read: nothing that they say reaches a
//! terminal, a page or a shell as a command.

use std::fs;

use roxmltree::Document;

use crate::world::World;

/// Commands to a terminal (ESC, and its one-byte form in UTF-8), the end of a script, and a shell's.
const ODD: &str = "x\x1b]0;owned\x07\x1b[2J\u{9b}2J</script><img src=y onerror=z>'$(touch owned)'";

const GUEST: &str = r#"
say() { printf '%s\n' "$@"; }
say '--- Xen Test Framework ---' 'Environment: PV 64bit' 'KTAP version 1' '1..1'
say '  KTAP version 1' '  # Subtest: example' '  1..2'
say "  # $ODD" "(XEN) $ODD" '  not ok 1 hello' "  ok 2 other # SKIP $ODD"
say "$ODD" 'not ok 1 example' 'Test result: FAILURE'
"#;

#[track_caller]
fn is_tame(what: &str, text: &str) {
    let command = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    assert!(!text.contains(command), "{what}: {:?}", text.split(command).next_back());
    assert!(text.contains("onerror=z"), "{what} does not have it: {text}");
}

#[test]
fn what_a_guest_prints_is_text() {
    let world = World::new();
    let script = format!("ODD='{}'{GUEST}", ODD.replace('\'', "'\\''"));
    let files = ["--json=r.json", "--junit=r.xml", "--ktap=r.ktap", "--html=r.html"];
    let args = [&["run", "example", "--verbose"], &files[..]].concat();
    let out = world.script(&args, &script, "success.log");
    assert_eq!(out.code, 5, "{out:?}");
    is_tame("the terminal", &out.stdout);
    let read = |name: &str| fs::read_to_string(world.path(name)).unwrap();
    for name in ["r.json", "r.ktap", "r.html"] {
        is_tame(name, &read(name));
    }
    let page = read("r.html");
    assert!(!page.contains("<img") && page.matches("</script>").count() == 1, "{page}");
    let xml = read("r.xml");
    is_tame("r.xml", &xml);
    let xml = Document::parse(&xml).unwrap();
    assert!(!xml.descendants().any(|node| node.has_tag_name("img")));
    // The log has every byte of it.
    let log = fs::read_to_string(world.boot_dir("001-").join("console.log")).unwrap();
    assert!(log.contains(ODD), "{log:?}");
    // What is pasted to see it again runs nothing else.
    assert!(!world.path("owned").exists());
}

#[test]
fn what_a_document_says_is_text() {
    let world = World::new();
    assert_eq!(world.run(&["run", "--json", "good.json"], "print", "success.log").code, 0);
    let good = fs::read_to_string(world.path("good.json")).unwrap();
    let odd = serde_json::to_string(ODD).unwrap();
    let name = odd.trim_matches('"');
    let named = good.replace("\"hello\"", &format!("\"hello {name}\""));
    assert_ne!(named, good);
    world.file("odd.json", &named);
    for args in [
        &["diff", "odd.json", "good.json"][..],
        &["diff", "good.json", "odd.json", "--json"],
        &["merge", "odd.json", "--html", "m.html", "--json", "-"],
    ] {
        let out = world.run_plain(args);
        is_tame(&format!("{args:?}"), &out.stdout);
        assert!(!out.stderr.contains('\x1b'), "{out:?}");
    }
    let page = fs::read_to_string(world.path("m.html")).unwrap();
    is_tame("m.html", &page);
    assert!(!page.contains("<img") && page.matches("</script>").count() == 1);
}
