//! What `iso` refuses before it makes anything.

use crate::world::World;

#[test]
fn devices_and_folders_are_not_replaced() {
    let world = World::new();
    for (output, why) in [
        (
            "/dev/null",
            "/dev/null is a device; write to a file, and then that to the device: dd if=",
        ),
        ("logs-folder", "logs-folder is a folder; name a file in it with -o"),
        ("-", "-o -: a medium is a file"),
    ] {
        let _ = std::fs::create_dir(world.path("logs-folder"));
        let out = world.run_plain(&["iso", "-o", output, "--image", "xtf"]);
        assert_eq!(out.code, 64, "{out:?}");
        assert!(out.stderr.contains(why), "{}", out.stderr);
    }
}

#[test]
fn a_host_without_grub_is_told_the_packages() {
    let world = World::new();
    let out = world.run_without_path(&["iso", "--image", "xtf"]);
    assert_eq!(out.code, 69, "{out:?}");
    for package in ["grub-common", "xorriso", "mtools"] {
        assert!(out.stderr.contains(package), "{}", out.stderr);
    }
    assert!(!world.path("xtf.iso").exists());
}

#[test]
fn what_is_no_serial_line_is_a_usage_error() {
    let world = World::new();
    let out = world.run_plain(&["iso", "--serial", "ttyS0,115200", "--image", "xtf"]);
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("`ttyS0` is neither com1 nor com2"), "{}", out.stderr);
}

/// What GRUB does not load is not put on a medium under its name.
#[test]
fn what_cannot_be_on_a_medium_is_refused() {
    let world = World::new();
    std::fs::write(world.path("xen.efi"), b"MZ..").unwrap();
    for (args, why) in [
        (["--env", "hvm64"], "--env hvm64: on a medium the image is dom0"),
        (["--xen", "./xen.efi"], "is an EFI application (loader efi), and GRUB on a medium loads"),
        (["--cmdline", "a\nb"], "holds '\\n', and a line of GRUB's configuration"),
    ] {
        let out = world.run_plain(&[&["iso", "--image", "xtf"], &args[..]].concat());
        assert_eq!(out.code, 64, "{out:?}");
        assert!(out.stderr.contains(why), "{}", out.stderr);
    }
}
