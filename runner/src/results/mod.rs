//! What came out of a run, as data: its events, what was expected, and one document that `--json`
//! writes, every other report is made of, and `diff` reads.
//!
//! This room may read a results document and the expectations file. It prints nothing.
//!
//! The document's form is versioned by [`SCHEMA`](document::SCHEMA). Within a version keys are only
//! added; readers ignore what they don't know. docs/results.md explains it,
//! docs/results.schema.json is generated from their types.

pub mod again;
pub mod compare;
mod counts;
mod document;
pub mod event;
pub mod expect;
pub mod merge;
pub mod policy;
mod read;
mod recorder;
#[cfg(test)]
pub mod sample;
mod verdict;
mod whereabouts;

pub use counts::CaseCounts;
pub use document::{
    AppliedExpectation, Attempt, Boot, Case, Document, Evidence, Known, KnownVerdict, PayloadStep,
    Run, Test, Unit,
};
pub use recorder::{About, Recorder, attempt_of};
pub use verdict::VerdictKind;
