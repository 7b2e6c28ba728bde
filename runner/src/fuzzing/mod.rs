//! In-process fuzzing of what reads consoles, files and packages from elsewhere.
//!
//! A [`Target`] is a function that takes any bytes, and panics where a promise is broken. It stands
//! beside the code that it is about, as a test whose name begins with `fuzz_`. `cargo test` gives it
//! what is known to be interesting, and a fixed number of mutants of that, always the same ones.
//! `make fuzz-host` gives it mutants for as long as one likes, and keeps those that execute something
//! new (CONTRIBUTING.md).

mod coverage;
mod cpu;
mod engine;
mod memory;
mod mutate;
mod program;

use std::fs;
use std::path::Path;
use std::time::Duration;

pub use cpu::grows_like_its_input;
pub use memory::peak_of;

/// Says for how many seconds to look for inputs that break a promise.
const SECONDS: &str = "XTF_FUZZ_SECONDS";

/// Something that takes any bytes.
pub struct Target {
    /// The name, which is also that of its folder in `tests/corpus`.
    pub name: &'static str,
    /// Takes the bytes; a panic is a finding.
    pub run: fn(&[u8]),
    /// Inputs besides those in the folder.
    pub seeds: Vec<Vec<u8>>,
    /// Words of its language.
    pub words: &'static [&'static str],
    /// No input is longer.
    pub longest: usize,
    /// How many mutants a unit test tries.
    pub mutants: u32,
}

impl Target {
    /// The unit test, or the campaign that the environment asks for.
    pub fn test(mut self) {
        self.seeds.extend(kept(self.name));
        match std::env::var(SECONDS) {
            Ok(seconds) => {
                let seconds = seconds.parse().expect("a number of seconds");
                engine::search(&self, Duration::from_secs(seconds));
            }
            Err(_) => engine::try_some(&self),
        }
    }
}

/// The inputs in the folder of the target `name`, which need not exist.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A number that depends on all of `bytes`: a seed for what a target decides by chance.
pub fn seed_of(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv)
}
