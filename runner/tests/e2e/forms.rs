//! The forms in which people have a Xen: folders with versions, packages, files in packages.

use std::fs::{self, File};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::world::World;

/// Puts the least that passes for a Xen to `path`.
fn xen_at(world: &World, path: &str) {
    let path = world.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(world.path("xen"), path).unwrap();
}

#[test]
fn a_folder_with_versions_stands_for_the_newest() {
    let world = World::new();
    for name in ["xen-4.17.5-1.gz", "xen-4.17.6-2.gz", "xen-4.17.6-2-d.gz", "xen-4.17.6-2.map"] {
        xen_at(&world, &format!("boot/{name}"));
    }
    let run =
        || world.run(&["run", "--xen", "./boot", "--json", "out.json"], "print", "success.log");
    let out = run();
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("] xen-4.17.6-2 pv64  example "), "{out:?}");
    let note = "boot: xen-4.17.6-2.gz is the newest of 2 Xens there";
    assert!(out.stderr.contains(note), "{out:?}");
    let json = fs::read_to_string(world.path("out.json")).unwrap();
    assert!(json.contains("boot/xen-4.17.6-2.gz\""), "{json}");

    xen_at(&world, "boot/xen-4.17-amd64.gz");
    let out = run();
    assert_eq!(out.code, 65, "{out:?}");
    let all = "holds several Xens: xen-4.17-amd64.gz, xen-4.17.5-1.gz, xen-4.17.6-2.gz";
    assert!(out.stderr.contains(all), "{out:?}");
}

#[test]
fn a_package_holds_a_xen() {
    let world = World::new();
    let gzip = GzEncoder::new(File::create(world.path("xen.apk")).unwrap(), Compression::fast());
    let mut package = tar::Builder::new(gzip);
    for name in ["xen-4.20.1.gz", "xen-4.20.1-dbg.gz"] {
        package.append_path_with_name(world.path("xen"), format!("boot/{name}")).unwrap();
    }
    package.into_inner().unwrap().finish().unwrap();
    let run =
        |xen: &str| world.run(&["run", "--xen", xen, "--json", "out.json"], "print", "success.log");
    for (xen, inside) in
        [("./xen.apk", "xen-4.20.1.gz"), ("xen.apk/boot/xen-4.20.1-dbg.gz", "xen-4.20.1-dbg.gz")]
    {
        let out = run(xen);
        assert_eq!(out.code, 0, "{out:?}");
        let json = fs::read_to_string(world.path("out.json")).unwrap();
        assert!(json.contains(&format!("xen.apk (boot/{inside})\"")), "{json}");
        assert!(!out.stdout.contains("xen-syms"), "nobody asked for symbols: {out:?}");
    }
    let out = run("xen.apk/boot/gone");
    assert_eq!(out.code, 65, "{out:?}");
    assert!(out.stderr.contains("xen.apk holds no boot/gone"), "{out:?}");
    let out = run("xen/boot/xen");
    assert_eq!(out.code, 65, "{out:?}");
    assert!(out.stderr.contains("is no package, so it does not hold boot/xen"), "{out:?}");
}

/// The cache knows the content, and not who gave it which name.
#[test]
fn reports_name_the_path_of_this_run() {
    let world = World::new();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&fs::read(world.path("xen")).unwrap()).unwrap();
    fs::write(world.path("first.gz"), gzip.finish().unwrap()).unwrap();
    for (name, before) in [("first.gz", "first.gz"), ("second.gz", "first.gz")] {
        fs::rename(world.path(before), world.path(name)).unwrap();
        let xen = format!("./{name}");
        let args = ["run", "--xen", &xen, "--json=r.json", "--junit=r.xml", "--ktap=r.ktap"];
        let out = world.run(&args, "print", "success.log");
        assert_eq!(out.code, 0, "{out:?}");
        for report in ["r.json", "r.xml", "r.ktap"] {
            let text = fs::read_to_string(world.path(report)).unwrap();
            assert!(text.contains(&format!("/{name}")), "{report}: {text}");
            assert_eq!(text.contains("/first.gz"), name == "first.gz", "{report}: {text}");
        }
    }
}
