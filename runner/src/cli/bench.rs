//! Options of `xtf-runner bench`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Environment;

use super::{Selection, TestbedArgs, wide};

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Tests of the suite.
    #[command(flatten)]
    pub selection: Selection,

    /// Xen, image and QEMU.
    #[command(flatten)]
    pub bed: TestbedArgs,

    /// Environments
    #[arg(long, value_name = "ENV", value_parser = wide, value_delimiter = ',', default_value = "pv64,pvh64")]
    pub env: Vec<Environment>,

    /// Number of measurements of each figure; the median counts
    #[arg(long, value_name = "N", default_value = "3")]
    pub rounds: NonZeroUsize,

    /// Boots at a time in the suite with -j [default: number of CPUs]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// Image of upstream's XTF to compare one small test with, such as test-pv64-example; one
    /// called test-hvm64-* is booted as PVH dom0
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,

    /// Measure boots and hypercalls, but not the suite
    #[arg(long)]
    pub no_suite: bool,

    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}
