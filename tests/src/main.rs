//! The tests, one file each, and the order in which they run.
//!
//! To add one, copy `example.rs`, declare it below, and add it to the registry.

#![no_std]
#![no_main]

extern crate alloc;

mod bad;
mod example;
mod livepatch_args;
mod selftest;

kernel::registry![
    example,
    selftest,
    livepatch_args,
    bad::error,
    bad::failure,
    bad::flood,
    bad::hang,
    bad::panic,
    bad::trap,
    bad::triple_fault,
    bad::xen_panic,
];
