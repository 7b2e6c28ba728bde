//! Guests that misbehave on purpose, so that the runner's verdicts can be checked against the
//! real thing. None of them runs unless it is named.
#![forbid(unsafe_code)]

pub mod dom0_crash;
pub mod error;
pub mod failure;
pub mod flood;
pub mod hang;
pub mod leftover;
pub mod panic;
pub mod trap;
pub mod triple_fault;
pub mod xen_panic;

use kernel::{Category, Test};

/// What all of them have in common.
const BAD: Test = Test { category: Category::Special, default: false, ..Test::DEFAULT };
