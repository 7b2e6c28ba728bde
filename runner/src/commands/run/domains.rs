//! `xtf-runner run` for domains.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use crate::base::exit::{Error, Exit, Result};
use crate::base::output::{note, write_out};
use crate::base::signals::StopSignal;
use crate::cli::{BackendKind, RunArgs};
use crate::commands::run::{files, policy, report_on};
use crate::image::{self, Role, TestMeta};
use crate::machine::accel;
use crate::machine::accel::Accel;
use crate::machine::debug::Debug;
use crate::machine::logs::RunLogs;
use crate::machine::qemu::{Kvm, Qemu};
use crate::machine::session::Session;
use crate::machine::xl::{BootedXen, Domains, Remote, Source, booted_xens};
use crate::plan::config::{Config, Hypervisor};
use crate::plan::{self, How, Sharing};
use crate::results::{About, seconds};
use crate::xen::hypervisor::Cache;

/// Runs the command.
pub fn run(args: &RunArgs, config: &Config) -> Result<Exit> {
    let files = files(&args.reports)?;
    let cache = Cache::of_workspace(&config.workspace)?.looking(args.look());
    let booting = args.backend == BackendKind::QemuXl;
    let xens = if booting {
        config.select(&args.xen)?
    } else {
        vec![Hypervisor::elsewhere(args.host.as_deref().unwrap_or("xl"))]
    };
    if args.fetch_only {
        for BootedXen { name, elf, provenance, dom0, .. } in booted_xens(&xens, &cache)? {
            note(&format!("{name}: {} is {provenance}", elf.display()));
            note(&format!("{name}: {} is {}", dom0.initramfs.display(), dom0.provenance));
        }
        return Ok(Exit::Success);
    }

    let image = image::find(args.places.image.as_deref(), &config.workspace)?;
    config.check_tests(&image)?;
    let environments = args.environments();
    let names: Vec<&str> = environments.iter().map(|environment| environment.name()).collect();
    let tests = plan::choose_for(&image, args.selection.wanted(), Role::Unprivileged, &names)?;
    let how = How {
        sharing: if args.isolate { Sharing::Isolated } else { Sharing::Allowed },
        partition: args.partition,
        machine: &|xen, test| config.machine(xen, test),
    };
    let boots = plan::boots(&tests, &xens, environments, &how);
    if let (Some(share), true) = (args.partition, boots.is_empty()) {
        // Shares are made without knowing what there is: one may get nothing.
        note(&format!("share {share} of this run holds no test"));
    }

    let qemu = Qemu {
        // Whether a Xen boots under KVM is not asked for the sake of one boot.
        kvm: if args.accel == Accel::Kvm { Kvm::Always } else { Kvm::Never },
        mode: args.boot,
        xen_cmdline: args.xen_cmdline.clone().unwrap_or_default(),
        ..Qemu::of(args.qemu.as_deref(), config)
    };
    let version = if booting { qemu.probe()? } else { String::new() };
    if let (true, Accel::Kvm, Some(why)) = (booting, args.accel, accel::unusable()) {
        return Err(Error::Tool(format!("--accel kvm, but {why}; try --accel tcg")));
    }
    let booted = if booting { booted_xens(&xens, &cache)? } else { Vec::new() };
    let source = |logs: &Path| {
        if booting {
            return Source::Booted { qemu: &qemu, xens: booted, logs: logs.to_owned() };
        }
        let config = args.ssh_config.as_deref();
        let remote = args.host.as_ref().map(|host| Remote::of(host, config));
        Source::Given { name: xens[0].name.clone(), remote }
    };
    let words = args.cmdline.clone().unwrap_or_default();
    let base = args.logs.clone().unwrap_or_else(|| config.workspace.join("logs"));
    if args.dry_run {
        write_out(&Domains::new(source(&base), &image, words)?.plan(&boots))?;
        return Ok(Exit::Success);
    }

    let policy = policy(&args.reports, config, &image)?;
    let mut about = About::run_of(&image, &version)?;
    about.run.slow_s = seconds(Duration::from_secs(args.reports.slow_timeout));
    about.expectations = policy.expectations.clone();
    let stop = StopSignal::install()?;
    let logs = RunLogs::create(&base, &stop)?;
    let backend = Domains::new(source(logs.dir()), &image, words)?;
    let time =
        |test: &TestMeta| args.timeout.map_or_else(|| config.test_time(test), Duration::from_secs);
    let session = Session {
        backend: &backend,
        image: &image,
        debug: Debug::No,
        xen_syms: &[],
        logs,
        stop: &stop,
        // A domain at a time, unless told otherwise: its Xen may be busy with other things.
        jobs: args.jobs.unwrap_or(NonZeroUsize::MIN),
        policy,
        test_time: &time,
        boot_timeout: Duration::from_secs(config.qemu.boot_timeout_s),
    };
    let exit = report_on(&session, boots, about, files, args.verbose);
    for name in backend.sweep() {
        note(&format!("destroyed the domain {name}, which had been left behind"));
    }
    exit
}
