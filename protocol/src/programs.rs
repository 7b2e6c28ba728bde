//! Tests that the runner or the fuzzer drives: what each tells the other besides a plain result.
//!
//! The runner knows these tests by name. Steps and calls are on the console before they are made,
//! so that whoever reads it knows what the last one was.

/// The test that performs the programs of `xtf-runner fuzz livepatch`.
pub const FUZZ_EXECUTOR: &str = "fuzz-executor";
/// The test that performs the program of `xtf-runner replay`, from the section
/// [`crate::image::INPUT`].
pub const LIVEPATCH_REPLAY: &str = "livepatch-replay";
/// The test behind `xtf-runner fuzz hypercall`.
pub const HYPERCALL_FUZZ: &str = "hypercall-fuzz";
/// The test behind `xtf-runner payload try`, which finds its [payloads](crate::payloads) in an
/// archive that the loader passes as initrd.
pub const PAYLOAD_TRY: &str = "payload-try";
/// The same with two CPUs.
pub const PAYLOAD_TRY_SMP: &str = "payload-try-smp";
/// The test that uploads the payloads that were handed over, each alone.
pub const PAYLOAD_UPLOAD: &str = "payload-upload";
/// The test that looks at [`crate::payloads::EXTRA_VERSION`].
pub const PAYLOAD_EFFECT: &str = "payload-effect";
/// The test that measures from inside the guest, for `xtf-runner bench`.
pub const BENCH_HYPERCALL: &str = "bench-hypercall";

/// Begins the line of a step or call that is about to be made.
pub const PERFORMED: &str = "#> ";
/// Begins the line of what Xen answered to the step above.
pub const ANSWERED: &str = "#= ";
/// Begins each line of a program that shows a divergence again.
pub const REPRODUCER: &str = "#| ";
/// Diagnostic: from the step above on the model predicts nothing; why follows.
pub const UNPREDICTED: &str = "no prediction from here on: ";
/// Diagnostic: a step whose outcome is not the model's; its number, a colon and the step follow.
/// What differs is in the diagnostics after it.
pub const DIVERGED_AT: &str = "step ";
/// Diagnostic: a time that the guest measured; what it is of, and nanoseconds.
pub const FIGURE: &str = "bench: ";

/// Parameter of [`FUZZ_EXECUTOR`]: 1 if it waits for a fuzzer where there is none, so that the machine
/// can be saved.
pub const PATIENT: &str = "patient";
/// Parameter of [`HYPERCALL_FUZZ`]: which random numbers.
pub const SEED: &str = "seed";
/// Parameter of [`HYPERCALL_FUZZ`]: the first call that is made.
pub const FROM: &str = "from";
/// Parameter of [`HYPERCALL_FUZZ`]: the first call that is not made any more.
pub const STEPS: &str = "steps";
/// Parameter of [`HYPERCALL_FUZZ`]: how many calls are made for each that is on the console.
pub const EVERY: &str = "every";
/// Parameter of [`HYPERCALL_FUZZ`]: the only calls that are made, separated by commas, as
/// [`crate::hypercalls::Selector`] reads them.
pub const ONLY: &str = "only";
/// Parameter of [`HYPERCALL_FUZZ`]: calls that are not made, likewise.
pub const EXCEPT: &str = "except";
/// Parameter of [`PAYLOAD_TRY`]: how many more times the payloads are loaded, applied, reverted and
/// unloaded.
pub const CYCLES: &str = "cycles";
/// Parameter of a guest that has payloads: 1 if the last of them is put in by REPLACE, in the place
/// of the others.
pub const REPLACES: &str = "replace";
/// Parameter of [`PAYLOAD_TRY`]: the number of the file in [`crate::payloads::FORETOLD`] that is
/// about this Xen.
pub const FORETOLD: &str = "foretold";
/// Behind the name of a payload and a colon in a step of [`PAYLOAD_TRY`]: it is uploaded.
pub const UPLOAD: &str = "UPLOAD";
/// Likewise: it is applied.
pub const APPLY: &str = "APPLY";
/// Likewise: it is applied in the place of all that are.
pub const REPLACE: &str = "REPLACE";
/// Likewise: it is applied a second time. Xen may answer EINVAL.
pub const APPLY_AGAIN: &str = "APPLY again";
/// In the line of a call of [`HYPERCALL_FUZZ`]: `step=` and its number.
pub const STEP: &str = "step";

/// The most steps of a fuzzer's program; the guest performs no more, since a hang is to be told
/// from a long program.
pub const STEPS_MAX: usize = 64;

/// How a fuzzer's program went: the first word of the guest's [answer](crate::letterbox).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Ending {
    /// To its end, and everything was undone.
    Done = 0,
    /// To its end, but not everything could be undone: the machine is of no more use.
    Dirty = 1,
    /// A step could not be performed, for want of memory.
    Unable = 2,
    /// Xen answered something else than the model. What is on the console, from [`DIVERGED_AT`] on.
    Diverged = 3,
}

impl Ending {
    /// What the word of an answer stands for.
    pub fn from_word(word: u64) -> Option<Self> {
        let all = [Self::Done, Self::Dirty, Self::Unable, Self::Diverged];
        all.into_iter().find(|ending| *ending as u64 == word)
    }
}
