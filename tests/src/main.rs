//! The tests, one file each, and the order in which they run.
//!
//! To add one, copy `example.rs`, declare it below, and add it to the registry.

#![no_std]
#![no_main]

extern crate alloc;

mod bad;
mod example;
mod livepatch_action;
mod livepatch_args;
mod livepatch_concurrent;
mod livepatch_get;
mod livepatch_list;
mod livepatch_name;
mod livepatch_order;
mod livepatch_upload;
mod livepatch_version;
mod selftest;
mod support;

kernel::registry![
    example,
    selftest,
    livepatch_args,
    livepatch_name,
    livepatch_upload,
    livepatch_get,
    livepatch_list,
    livepatch_version,
    livepatch_action,
    livepatch_order,
    livepatch_concurrent,
    bad::error,
    bad::failure,
    bad::flood,
    bad::hang,
    bad::panic,
    bad::trap,
    bad::triple_fault,
    bad::xen_panic,
];
