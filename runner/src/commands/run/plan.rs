//! What is to be run, as far as it is known before a Xen is obtained, and what is refused for it.

use std::path::PathBuf;
use std::time::Duration;

use protocol::metadata::Environment;

use crate::base::exit::{Error, Result};
use crate::base::output::note;
use crate::cli::{BackendKind, FlakyResult, ReportArgs, RunArgs};
use crate::commands::able;
use crate::image::{self, Image, Role, TestMeta};
use crate::machine::xl;
use crate::plan::config::{Config, Hypervisor};
use crate::plan::select::Selected;
use crate::plan::{self, Boot, How, Sharing};
use crate::results::About;
use crate::results::again::Again;
use crate::results::expect::Expectations;
use crate::results::policy::Policy;

/// See the module.
pub struct Plan<'a> {
    args: &'a RunArgs,
    /// Who knows of the Xens.
    pub config: Config,
    /// On what.
    pub xens: Vec<Hypervisor>,
    /// The tests' image.
    pub image: Image,
    tests: Vec<Selected>,
}

impl<'a> Plan<'a> {
    /// What `args` ask for.
    pub fn of(args: &'a RunArgs) -> Result<Plan<'a>> {
        let config = Config::load(args.places.config.as_deref())?.loading(args.loader.loader);
        let (xens, role) = match args.backend {
            BackendKind::Qemu => (config.select(&args.xen)?, Role::ControlDomain),
            BackendKind::QemuXl => {
                (able(config.select(&args.xen)?, xl::can_boot, xl::why_not)?, Role::Unprivileged)
            }
            BackendKind::Xl => (vec![xl::xen_of(args.host.as_deref())], Role::Unprivileged),
        };
        let image = image::find(args.places.image.as_deref(), &config.workspace)?;
        image.must_have(&args.environments())?;
        config.check_tests(&image)?;
        let wanted = args.selection.wanted();
        let tests = plan::choose_for(&image, wanted, role, &args.environments())?;
        Ok(Plan { args, config, xens, image, tests })
    }

    /// The boots of all that is wanted, or of the share of it.
    pub fn boots(&self) -> Result<Vec<Boot<'_, Hypervisor>>> {
        let Plan { args, config, .. } = self;
        let sharing = if args.isolate { Sharing::Isolated } else { Sharing::Allowed };
        let machine = |xen: &Hypervisor, test: &TestMeta| config.machine(xen, test);
        let how = How { sharing, partition: args.partition, machine: &machine };
        let boots = plan::boots(&self.tests, &self.xens, &args.environments(), &how);
        let count = boots.len();
        if args.gdb && count != 1 {
            return Err(Error::Usage(format!(
                "--gdb needs a single boot, and this selection takes {count}; name one test, --env \
                 and --xen"
            )));
        }
        if let (Some(share), 0, false) = (args.partition, count, args.dry_run) {
            // Shares are made without knowing what there is: one may get nothing.
            note(&format!("share {share} of this run holds no test"));
        }
        Ok(boots)
    }

    /// What counts as a success.
    pub fn policy(&self) -> Result<Policy> {
        policy(&self.args.reports, &self.config)
    }

    /// What the results say about the run, beside what happens in it; `qemu` is QEMU's description
    /// of itself.
    pub fn about<'p>(&'p self, policy: &Policy, qemu: &'p str) -> About<'p> {
        let args = self.args;
        let whole_matrix = args.backend == BackendKind::Qemu
            && args.selection.selectors.is_empty()
            && args.selection.exclude.is_empty()
            && args.partition.is_none()
            && self.config.are_all(&self.xens)
            && Environment::WIDE_DOM0.iter().all(|place| args.environments().contains(place));
        About {
            image: &self.image,
            qemu,
            slow: Duration::from_secs(args.reports.slow_timeout),
            expectations: policy.expectations.clone(),
            whole_matrix,
            partition: args.partition,
            again: Some(self.again()),
        }
    }

    /// What is to be said to run a part of it once more.
    fn again(&self) -> Again {
        let Plan { args, config, .. } = self;
        let selectors = self.tests.iter().flat_map(|selected| {
            let places = selected.test.environments.iter();
            places.map(|&place| ((selected.name().to_owned(), place), selected.words()))
        });
        let xens = self.xens.iter().map(|xen| {
            let words = match args.backend {
                BackendKind::Xl => Vec::new(),
                _ => vec!["--xen".to_owned(), config.word_for(xen, &args.xen)],
            };
            (xen.name.clone(), words)
        });
        Again {
            program: std::env::args_os()
                .next()
                .map_or_else(|| "xtf-runner".into(), |word| word.to_string_lossy().into_owned()),
            tests: selectors.collect(),
            xens: xens.collect(),
            options: args.lasting.clone(),
        }
    }

    /// The folder for logs.
    pub fn logs(&self) -> PathBuf {
        self.config.logs(self.args.logs.logs.as_deref())
    }

    /// Time for a test.
    pub fn test_time(&self, test: &TestMeta) -> Duration {
        self.args.timeout.map_or_else(|| self.config.test_time(test), Duration::from_secs)
    }

    /// Time from power on to the first test, and between two tests.
    pub fn boot_timeout(&self) -> Duration {
        Duration::from_secs(self.config.qemu.boot_timeout_s)
    }
}

/// What counts as a success.
pub fn policy(args: &ReportArgs, config: &Config) -> Result<Policy> {
    let mut expectations = Expectations::load(args.expect.as_deref(), config)?;
    expectations.strict = args.strict_news;
    let flaky_fails = args.flaky_result == FlakyResult::Fail;
    Ok(Policy { expectations, retries: args.retries, flaky_fails })
}
