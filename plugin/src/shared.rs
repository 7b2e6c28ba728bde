//! Files that other processes map, too.

use std::ffi::{c_int, c_long, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const PROT_READ_WRITE: c_int = 1 | 2;
const MAP_SHARED: c_int = 1;

unsafe extern "C" {
    fn mmap(
        at: *mut c_void,
        size: usize,
        prot: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn syscall(number: c_long, ...) -> c_long;
}

#[cfg(target_arch = "x86_64")]
const SYS_FUTEX: c_long = 202;
#[cfg(target_arch = "aarch64")]
const SYS_FUTEX: c_long = 98;
const FUTEX_WAIT: c_int = 0;
const FUTEX_WAKE: c_int = 1;

/// The whole file at `path` as words, for as long as this process lives.
pub fn map(path: &str) -> Result<&'static [AtomicU64], String> {
    let fail = |why: std::io::Error| format!("cannot map {path}: {why}");
    let file = File::options().read(true).write(true).open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size < size_of::<u64>() || !size.is_multiple_of(size_of::<u64>()) {
        return Err(format!("{path} is too short"));
    }
    // SAFETY: the kernel chooses a free place for the mapping, so it aliases nothing of Rust's.
    let at =
        unsafe { mmap(ptr::null_mut(), size, PROT_READ_WRITE, MAP_SHARED, file.as_raw_fd(), 0) };
    if at.addr() == usize::MAX {
        return Err(fail(std::io::Error::last_os_error()));
    }
    // SAFETY: `at` is the start of `size` readable and writable bytes, page-aligned, never
    // unmapped. Other processes and generated code change them at any time, which atomics allow
    // for. Nobody truncates the file: the runner creates it at its full length and only ever reads
    // it after.
    Ok(unsafe { slice::from_raw_parts(at.cast(), size / size_of::<u64>()) })
}

/// Waits while `word` is `value`.
pub fn wait_while(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        // SAFETY: the kernel reads the word, which is mapped, and nothing else; the null pointer
        // stands for no time limit.
        unsafe { syscall(SYS_FUTEX, word.as_ptr(), FUTEX_WAIT, value, ptr::null::<c_void>()) };
    }
}

/// Changes `word` and wakes whoever waits for that.
pub fn set_and_wake(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    // SAFETY: the kernel looks at the word's address and wakes who waits there.
    unsafe { syscall(SYS_FUTEX, word.as_ptr(), FUTEX_WAKE, c_int::MAX) };
}
