//! Good and bad configurations.

use super::*;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, "x.toml", "/ws".into())
}

#[test]
fn the_built_in_configuration_is_good() {
    let config = parse(BUILT_IN).unwrap();
    assert!(!config.select(&[]).unwrap().is_empty());
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse("[hypervisor.x]\npath = 'a/xen'\n[qemu]\nbinary = './q'").unwrap();
    let xen = &config.select(&["x".into()]).unwrap()[0];
    assert!(matches!(&xen.origin, Origin::Path(path) if path == Path::new("/ws/a/xen")));
    assert_eq!(config.qemu.binary, Path::new("/ws/./q"));
}

#[test]
fn all_means_every_configured_one() {
    let config = parse(BUILT_IN).unwrap();
    let names: Vec<String> =
        config.select(&["all".into()]).unwrap().into_iter().map(|xen| xen.name).collect();
    assert_eq!(names, ["4.14", "4.17", "4.17-efi", "4.20"]);
    let more = config.select(&["4.17".into(), "all".into(), "/some/where/xen".into()]).unwrap();
    let names: Vec<String> = more.into_iter().map(|xen| xen.name).collect();
    assert_eq!(names, ["4.17", "4.14", "4.17-efi", "4.20", "where"]);
}

#[test]
fn a_xen_is_named_again_as_it_was() {
    let config = parse(BUILT_IN).unwrap();
    let wanted = ["4.17", "own=/some/where/xen", "/any/where/xen.gz"].map(str::to_owned);
    let xens = config.select(&wanted).unwrap();
    let words: Vec<String> = xens.iter().map(|xen| config.word_for(xen, &wanted)).collect();
    assert_eq!(words, wanted);
    // Alone, both would be called `build`.
    let wanted = ["/q/old/build/xen.gz", "/q/new/build/xen.gz"].map(str::to_owned);
    for xen in config.select(&wanted).unwrap() {
        let word = config.word_for(&xen, &wanted);
        let again = config.select(std::slice::from_ref(&word)).unwrap();
        assert_eq!(again[0].name, xen.name, "{word}");
    }
}

#[test]
fn a_person_may_name_a_xen() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["a/xen", "c=d/xen"] {
        let path = dir.path().join(version);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let config = parse("[hypervisor.mine]\npath = \"x\"\n").unwrap();
    let path = |of: &str| dir.path().join(of).display().to_string();
    let names = |words: &[String]| {
        let xens = config.select(words).map_err(|e| e.to_string())?;
        Ok::<Vec<String>, String>(xens.into_iter().map(|xen| xen.name).collect())
    };
    let before = format!("before={}", path("a/xen"));
    // What exists under the whole word is not a name.
    assert_eq!(names(&[before.clone(), path("c=d/xen")]).unwrap(), ["before", "c=d"]);
    for (words, why) in [
        (vec![before.clone(), format!("before={}", path("c=d"))], "two Xens are called before"),
        (vec![format!("mine={}", path("a")), "mine".into()], "two Xens are called mine"),
        (vec![format!("x={}", dir.path().display())], "there are 2 Xens in "),
    ] {
        assert!(names(&words).unwrap_err().contains(why), "{words:?}: {:?}", names(&words));
    }
}

/// An option beats a key, and a key beats what the file takes.
#[test]
fn who_decides_about_the_loader() {
    let dir = tempfile::tempdir().unwrap();
    let efi = dir.path().join("xen.efi");
    fs::write(&efi, "MZ").unwrap();
    let text = format!(
        "[hypervisor.a]\npath = 'xen.gz'\n[hypervisor.b]\npath = 'xen.gz'\nloader = 'grub'\n\
         [hypervisor.c]\npath = '{0}'\n[hypervisor.d]\npath = '{0}'\nloader = 'direct'\n",
        efi.display()
    );
    let loaders = |wanted| {
        let config = parse(&text).unwrap().loading(wanted);
        let mut names = ["a", "b", "c", "d"].map(String::from).to_vec();
        names.push(efi.display().to_string());
        let xens = config.select(&names).unwrap().into_iter();
        xens.map(|xen| (xen.loader, xen.loader_is_implied)).collect::<Vec<_>>()
    };
    let (direct, efi_, grub) = (Loader::Direct, Loader::Efi, Loader::Grub);
    let own = [(direct, false), (grub, false), (efi_, true), (direct, false), (efi_, true)];
    assert_eq!(loaders(None), own);
    assert_eq!(loaders(Some(grub)), [(grub, false); 5]);
    let wrong = parse("[hypervisor.x]\npath = 'p'\nloader = 'uefi'").unwrap_err().to_string();
    assert!(
        wrong.starts_with("x.toml:3: unknown variant `uefi`, expected one of `direct`"),
        "{wrong}"
    );
}

#[test]
fn symbols_come_from_where_their_xen_does() {
    let config = parse(
        "[hypervisor.x]\npath = 'a/xen'\nsymbols = 'a/xen-syms'\n[hypervisor.y]\n\
         debian = { suite = 's', package = 'p' }\nsymbols = 'p-dbg'",
    );
    let xens = config.unwrap().select(&["x".into(), "y".into()]).unwrap();
    let Some(Origin::Path(path)) = &xens[0].symbols else { panic!("{:?}", xens[0]) };
    assert_eq!(path, Path::new("/ws/a/xen-syms"));
    let Some(Origin::Debian(package)) = &xens[1].symbols else { panic!("{:?}", xens[1]) };
    assert_eq!((package.suite.as_str(), package.package.as_str()), ("s", "p-dbg"));
}

#[test]
fn a_toolstack_goes_with_its_xen() {
    let config = parse(
        "[hypervisor.a]\ndebian = { suite = 's', package = 'xen-hypervisor-4.17-amd64' }\n\
         [hypervisor.b]\npath = 'p'\n[hypervisor.c]\npath = 'p'\n\
         toolstack = { suite = 't', package = 'xen-utils-4.20' }",
    );
    let xens = config.unwrap().select(&["a".into(), "b".into(), "c".into()]).unwrap();
    let names = xens.iter().map(|xen| {
        xen.toolstack.as_ref().map(|package| format!("{} {}", package.suite, package.package))
    });
    let names: Vec<Option<String>> = names.collect();
    assert_eq!(names, [Some("s xen-utils-4.17".into()), None, Some("t xen-utils-4.20".into())]);
}

#[test]
fn settings_for_tests_count_in_the_files_order() {
    let config = parse(
        "[test.'z*']\nxen-cmdline = 'one'\ntimeout-s = 5\nvcpus = 2\n\
         [test.'*a']\nxen-cmdline = 'two'\ntimeout-s = 6\nmemory-mib = 300\n\
         [hypervisor.x]\npath = 'p'\ncmdline = 'zero'\nqemu-args = ['-a', 'b']",
    );
    let config = config.unwrap();
    let xen = &config.select(&["x".into()]).unwrap()[0];
    let test = TestMeta::named("za");
    let machine = config.machine(xen, &test);
    assert_eq!(machine.xen_cmdline, "zero one two");
    assert_eq!((machine.vcpus, machine.memory_mib), (2, Some(300)));
    assert_eq!(machine.qemu_args, ["-a", "b"]);
    assert_eq!(config.test_time(&test), Duration::from_secs(6));
    let other = TestMeta::named("other");
    assert_eq!(config.machine(xen, &other).xen_cmdline, "zero");
    assert_eq!(config.test_time(&other), Duration::from_secs(other.timeout_s));
}

#[test]
fn mistakes_are_placed_and_explained() {
    for (text, why) in [
        (
            "default-xen = []\nfoo = 1",
            "x.toml:2: unknown field `foo`, expected one of `default-xen`",
        ),
        ("[hypervisor.x]\npath = '/x'\nsuite = 'y'", "x.toml:3: unknown field `suite`"),
        ("[hypervisor.x]\ncmdline = ''", "x.toml:1: hypervisor `x` needs exactly one of"),
        ("\ndefault-xen = ['y']", "x.toml:2: default-xen names `y`"),
        ("[qemu]\nboot-timeout-s = 'x'", "x.toml:2: invalid type"),
        ("[qemu", "x.toml:1: "),
        ("[test.a]\nvcpus = 0", "x.toml:2: invalid value: integer `0`"),
        ("\n[test.'[']\nvcpus = 1", "x.toml:2: `[` is not a valid pattern"),
        ("[test.a]\nmemory = 1", "x.toml:2: unknown field `memory`; did you mean"),
        ("[test.'a']\nqemu-args = '-x'", "x.toml:2: invalid type: string"),
        (
            "[hypervisor.x]\npath = 'p'\nqemu-args = ['-m', '1', '-initrd', 'f']",
            "x.toml:1: `qemu-args` holds -initrd, which the runner sets itself; use `modules`",
        ),
        (
            "\n[test.a]\nqemu-args = ['--append', 'x']",
            "x.toml:2: `qemu-args` holds --append, which the runner sets itself; use `cmdline`, or",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().starts_with(why), "{error}");
        assert_eq!(error.exit(), crate::base::exit::Exit::Usage);
    }
}

#[test]
fn what_is_stated_about_a_xen_goes_to_the_guest() {
    let of = |changes: &str, cmdline: &str| {
        parse(&format!(
            "[hypervisor.x]\npath = 'p'\nguest-cmdline = '{cmdline}'\nchanges = {changes}"
        ))
        .map(|config| config.select(&["x".into()]).unwrap()[0].machine.guest_cmdline.clone())
    };
    assert_eq!(of("[]", "a=b").unwrap(), "a=b");
    let stated = of("['+op-flags', '-known-symbols']", "a=b").unwrap();
    assert_eq!(stated, "a=b changes=+op-flags,-known-symbols");
    for (changes, complaint) in [
        ("['+op-flag']", "unknown change `op-flag`; did you mean op-flags?"),
        ("['-zzz']", "unknown change `zzz`; see docs/changes.md"),
        ("['op-flags']", "`op-flags` in `changes` is neither `+NAME` nor `-NAME`"),
        ("['+op-flags', '-op-flags']", "`changes` names `op-flags` twice"),
    ] {
        let error = of(changes, "").unwrap_err().to_string();
        assert!(error.contains(complaint) && error.starts_with("x.toml:1: "), "{error}");
    }
}

/// Any text is a configuration, or is wrong in a line that it has.
#[test]
fn fuzz_config() {
    const WORDS: &[&str] = &[
        "[hypervisor.x]\n",
        "[hypervisor.\"\u{e4}\"]\n",
        "[test.\"a*[b\"]\n",
        "[test.\"*\"]\n",
        "[qemu]\n",
        "default-xen = [\"x\"]\n",
        "path = \"a/../../b\"\n",
        "debian = { suite = \"\", package = \"xen-hypervisor-4.17-amd64\" }\n",
        "loader = \"efi\"\n",
        "changes = [\"\", \"\u{e4}\", \"+op-flags\"]\n",
        "modules = [\"m\"]\n",
        "cmdline = \"\\u0000 \u{e4}\"\n",
        "qemu-args = [\"-m\", \"1\"]\n",
        "memory-mib = 4294967295\n",
        "vcpus = 0\n",
        "timeout-s = 18446744073709551615\n",
        "boot-timeout-s = 9223372036854775807\n",
        "expectations = \"../x\"\n",
        "\u{feff}",
        "'''",
    ];
    let seeds = vec![BUILT_IN.into(), WORDS.concat().into(), WORDS[..1].concat().into()];
    let run = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        match parse(&text) {
            Ok(config) => {
                for (xen, loader) in config.hypervisors.values() {
                    for test in crate::results::sample::tests() {
                        config.machine(&xen.clone().loaded_by(*loader), &test);
                        config.test_time(&test);
                    }
                }
            }
            Err(why) => {
                let (why, lines) = (why.to_string(), text.lines().count());
                let line = why.strip_prefix("x.toml:").and_then(|why| why.split(':').next());
                let line: usize = line.and_then(|line| line.trim().parse().ok()).unwrap_or(1);
                assert!((1..=lines + 1).contains(&line), "{why}");
            }
        }
    };
    let (longest, mutants) = (1 << 12, 1000);
    crate::fuzzing::Target { name: "config", run, seeds, words: WORDS, longest, mutants }.test();
}
