//! The tests, one file each, and the order in which they run.
//!
//! `xtf-runner new NAME` adds one: a file after `example.rs`, declared and registered below.

#![no_std]
#![no_main]

extern crate alloc;

mod bad;
mod bench_hypercall;
mod example;
mod fuzz_executor;
mod hypercall_fuzz;
mod livepatch_action;
mod livepatch_args;
mod livepatch_binary;
mod livepatch_concurrent;
mod livepatch_console;
mod livepatch_doc;
mod livepatch_elf;
mod livepatch_fuzz;
mod livepatch_get;
mod livepatch_history;
mod livepatch_life;
mod livepatch_list;
mod livepatch_name;
mod livepatch_order;
mod livepatch_priv;
mod livepatch_replay;
mod livepatch_soak;
mod livepatch_stack;
mod livepatch_state;
mod livepatch_upload;
mod livepatch_version;
mod livepatch_width;
mod payload_effect;
mod payload_try;
mod payload_try_smp;
mod payload_upload;
mod program;
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
    livepatch_priv,
    livepatch_elf,
    livepatch_life,
    livepatch_stack,
    livepatch_state,
    livepatch_history,
    livepatch_binary,
    livepatch_console,
    livepatch_doc,
    livepatch_width,
    livepatch_soak,
    livepatch_concurrent,
    livepatch_fuzz,
    hypercall_fuzz,
    livepatch_replay,
    payload_try,
    payload_try_smp,
    payload_effect,
    payload_upload,
    bench_hypercall,
    fuzz_executor,
    bad::dom0_crash,
    bad::error,
    bad::failure,
    bad::flood,
    bad::hang,
    bad::leftover,
    bad::panic,
    bad::trap,
    bad::triple_fault,
    bad::xen_panic,
];
