//! `new` in a source tree that is no more than what it touches. That the result builds and runs is
//! shown under real Xen.

use std::fs;

use crate::world::{Output, World};

const REGISTRY: &str = "mod example;\n\nkernel::registry![\n    example,\n];\n";

fn tree() -> World {
    let world = World::new();
    fs::create_dir_all(world.path("tests/src")).unwrap();
    world.file("tests/src/main.rs", REGISTRY);
    world
}

fn new(world: &World, args: &[&str]) -> Output {
    world.run(&[&["new"], args].concat(), "print", "good.log")
}

#[test]
fn a_test_is_begun() {
    let world = tree();
    let out = new(&world, &["a-b", "--title", "It holds", "--category", "xsa", "--own-boot"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("make build && target/release/xtf-runner run a-b"), "{out:?}");
    let text = fs::read_to_string(world.path("tests/src/a_b.rs")).unwrap();
    for line in ["name: \"a-b\",", "title: \"It holds\",", "category: Category::Xsa,"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("own_boot: true,"), "{text}");
    let registry = fs::read_to_string(world.path("tests/src/main.rs")).unwrap();
    assert_eq!(
        registry,
        "mod a_b;\nmod example;\n\nkernel::registry![\n    example,\n    a_b,\n];\n"
    );
}

#[test]
fn what_is_there_stays() {
    let world = tree();
    let unchanged = |args: &[&str], code, why: &str| {
        let out = new(&world, args);
        assert_eq!(out.code, code, "{args:?} {out:?}");
        assert!(out.stderr.contains(why), "{args:?} {out:?}");
        assert_eq!(fs::read_to_string(world.path("tests/src/main.rs")).unwrap(), REGISTRY);
    };
    world.file("tests/src/mine.rs", "mine");
    unchanged(&["mine"], 74, "tests/src/mine.rs: File exists");
    assert_eq!(fs::read_to_string(world.path("tests/src/mine.rs")).unwrap(), "mine");
    fs::create_dir(world.path("tests/src/ours")).unwrap();
    unchanged(&["ours"], 64, "tests/src/ours exists already");
    unchanged(&["example"], 64, "the module example exists already");
    unchanged(&["Bad_Name"], 64, "lower-case words");
    unchanged(&["functional"], 64, "a category or an environment");
    unchanged(&["fine", "--title", "a \"quote\""], 64, "printable ASCII");
    unchanged(&["fine", "--category", "fun"], 64, "possible values: functional");
    assert!(!world.path("tests/src/fine.rs").exists());
}

#[test]
fn elsewhere_there_is_no_source_tree() {
    let out = new(&World::new(), &["fine"]);
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("is not the source tree of xtf-rs"), "{out:?}");
    assert!(out.stderr.contains("--workspace"), "{out:?}");
}
