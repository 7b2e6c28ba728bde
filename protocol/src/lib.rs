//! What the guest, the runner, the QEMU plugin and the fuzzer agree on.
//!
//! These programs are built separately and talk through a console, an ELF file, a command line and
//! shared memory. Every word, name, layout and limit that two of them have to know is defined here,
//! once. The crate does nothing by itself: no I/O, no allocation. It is `no_std` and has no
//! dependency, so that each of them can use it; only for host tools, with the feature `host`, names
//! are also values of options and of documents.
//!
//! | Module | Who tells whom |
//! |---|---|
//! | [`metadata`] | the image tells the runner which tests it holds |
//! | [`image`] | the runner writes into the image and reads from it, by section |
//! | [`cmdline`] | the runner tells the guest what to run and how to end |
//! | [`archive`] | the runner hands files to the guest |
//! | [`wildcard`] | both read the same patterns for names |
//! | [`console`] | the guest tells the runner what came of it |
//! | [`change`] | the guest tells the runner which changes to Xen it saw; the runner states some |
//! | [`hypercalls`] | the runner tells the guest which calls to make, by names that both know |
//! | [`programs`] | tests that the runner drives: their names, parameters, answers and limits |
//! | [`lookout`] | the guest asks the runner to look at the machine from outside |
//! | [`payloads`] | the runner hands live patches to the guest, and what it foretells of them |
//! | [`letterbox`] | guest and plugin exchange inputs and answers in the guest's memory |
//! | [`mailbox`] | plugin and fuzzer exchange the same in a file that both map |
//! | [`mark`] | the guest tells the plugin where in its run it is |
//! | [`plugin`] | the runner tells the plugin what to count, the plugin counts |
//! | [`timeline`] | the plugin numbers the instructions of a boot; the runner says where to hold it |

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "host"))]
extern crate std;

pub mod archive;
pub mod change;
pub mod cmdline;
pub mod console;
pub mod hypercalls;
pub mod image;
pub mod letterbox;
pub mod lookout;
pub mod mailbox;
pub mod mark;
pub mod metadata;
pub mod payloads;
pub mod plugin;
pub mod programs;
pub mod timeline;
pub mod wildcard;
