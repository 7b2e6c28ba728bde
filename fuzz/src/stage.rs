//! LibAFL's stage: varies a program of the corpus many times, for machines that work side by side.

use std::num::NonZeroUsize;

use libafl::Error;
use libafl::fuzzer::Evaluator;
use libafl::inputs::BytesInput;
use libafl::mutators::{MutationResult, Mutator};
use libafl::stages::{Restartable, Stage};
use libafl::state::{HasCorpus, HasCurrentTestcase, HasRand};
use libafl_bolts::rands::Rand;

use crate::executor::Xen;
use crate::vary::Variation;

/// A program is varied so many times at most before it is the next one's turn.
const TIMES_MAX: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// See the module.
pub struct SideBySide(Variation);

impl SideBySide {
    /// Varies like that.
    pub fn new(variation: Variation) -> Self {
        SideBySide(variation)
    }
}

impl<'t, EM, S, Z> Stage<Xen<'t>, EM, S, Z> for SideBySide
where
    S: HasRand + HasCorpus<BytesInput> + HasCurrentTestcase<BytesInput>,
    Z: Evaluator<Xen<'t>, EM, BytesInput, S>,
{
    fn perform(
        &mut self,
        fuzzer: &mut Z,
        xen: &mut Xen<'t>,
        state: &mut S,
        manager: &mut EM,
    ) -> Result<(), Error> {
        let times = 1 + state.rand_mut().below(TIMES_MAX);
        let program = state.current_input_cloned()?;
        for _ in 0..times {
            let mut varied = program.clone();
            if self.0.mutate(state, &mut varied)? == MutationResult::Skipped {
                continue;
            }
            xen.hand_out(varied, None);
            judge(fuzzer, xen, state, manager, false)?;
        }
        Ok(())
    }
}

impl<S> Restartable<S> for SideBySide {
    fn should_restart(&mut self, _state: &mut S) -> Result<bool, Error> {
        Ok(true)
    }

    fn clear_progress(&mut self, _state: &mut S) -> Result<(), Error> {
        Ok(())
    }
}

/// Has LibAFL judge the programs that have come back: all that were handed out, or as many as it
/// takes to keep the machines at work.
pub fn judge<'t, EM, S, Z>(
    fuzzer: &mut Z,
    xen: &mut Xen<'t>,
    state: &mut S,
    manager: &mut EM,
    all: bool,
) -> Result<(), Error>
where
    Z: Evaluator<Xen<'t>, EM, BytesInput, S>,
{
    let failed = |e: xtf_runner::base::exit::Error| Error::unknown(e.to_string());
    while let Some(input) = xen.come_back(all).map_err(failed)? {
        fuzzer.evaluate_input(state, xen, manager, &input)?;
    }
    Ok(())
}
