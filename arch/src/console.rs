//! Where bytes go: every console that this domain has.
//!
//! A dom0 owns Xen's console and writes to it by hypercall. For a domU that hypercall is silent
//! on production builds of Xen, so its output goes into the ring that xenconsoled empties, and,
//! in PVH and HVM, to the debug port as well.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::boot::try_boot;
use crate::hypercall::{hypercall, nr};
use crate::width::hypercall::CONSOLE_PIECE;
use crate::{clock, shutdown};

const CONSOLEIO_WRITE: u64 = 0;
const EVTCHNOP_SEND: u64 = 4;

/// How long a full ring may stay full, in ns, before bytes are dropped rather than hang a
/// guest whose console nobody reads. Once that has happened a full ring is not waited for again.
const RING_PATIENCE_NS: u64 = 5_000_000_000;

/// Capacity of the ring's output half, in bytes.
const RING_OUT: u32 = 2048;

/// `struct xencons_interface`, xen/include/public/io/console.h.
#[repr(C)]
struct Ring {
    _in: [u8; 1024],
    out: [u8; RING_OUT as usize],
    _in_cons: u32,
    _in_prod: u32,
    out_cons: AtomicU32,
    out_prod: AtomicU32,
}

static RING: AtomicU64 = AtomicU64::new(0);
static EVENT_CHANNEL: AtomicU32 = AtomicU32::new(0);
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Uses the ring at `address`, announcing output on `event_channel`.
pub(crate) fn attach_ring(address: u64, event_channel: u32) {
    EVENT_CHANNEL.store(event_channel, Ordering::Relaxed);
    RING.store(address, Ordering::Release);
}

fn ring() -> Option<*mut Ring> {
    match RING.load(Ordering::Acquire) {
        0 => None,
        address => Some(ptr::with_exposed_provenance_mut(address as usize)),
    }
}

/// Writes to every console. Returns whether Xen, or who reads the ring, took all of it; nobody
/// answers for the debug port.
pub fn write(bytes: &[u8]) -> bool {
    match try_boot() {
        Some(boot) if !boot.privileged => {
            let taken = ring().is_none_or(|ring| ring_write(ring, bytes));
            boot.platform.debug_console(bytes);
            taken
        }
        // Before the boot record exists only a failure is reported: as loudly as possible.
        _ => xen_console(bytes),
    }
}

/// Waits until what was written has been read, or until nobody reads for a while.
pub fn drain() {
    if let Some(ring) = ring() {
        wait_until(|| pending(ring) == 0);
    }
}

fn xen_console(bytes: &[u8]) -> bool {
    bytes.chunks(CONSOLE_PIECE).all(|piece| {
        // SAFETY: Xen reads the bytes and writes nothing.
        let answer = unsafe {
            hypercall(
                nr::CONSOLE_IO,
                [CONSOLEIO_WRITE, piece.len() as u64, piece.as_ptr() as u64, 0, 0],
            )
        };
        answer == 0
    })
}

/// Bytes that the backend has not read yet.
fn pending(ring: *mut Ring) -> u32 {
    // SAFETY: the ring stays mapped; the two indices are only accessed atomically.
    let (producer, consumer) = unsafe { (&(*ring).out_prod, &(*ring).out_cons) };
    producer.load(Ordering::Relaxed).wrapping_sub(consumer.load(Ordering::Acquire))
}

/// Lines end as a terminal wants them: whoever reads the ring passes its bytes on as they are.
fn ring_write(ring: *mut Ring, bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let taken = lines.all(|line| match line.strip_suffix(b"\n") {
        Some(line) => ring_push(ring, line) && ring_push(ring, b"\r\n"),
        None => ring_push(ring, line),
    });
    notify();
    taken
}

/// Whether there is room for a byte, or will be soon.
fn room(ring: *mut Ring) -> bool {
    let now = || pending(ring) < RING_OUT;
    let room = now() || !UNREAD.load(Ordering::Relaxed) && wait_until(now);
    UNREAD.store(!room, Ordering::Relaxed);
    room
}

/// Returns whether there was room for all of it.
fn ring_push(ring: *mut Ring, bytes: &[u8]) -> bool {
    for &byte in bytes {
        if !room(ring) {
            return false;
        }
        // SAFETY: as in `pending`.
        let producer = unsafe { &(*ring).out_prod };
        let index = producer.load(Ordering::Relaxed);
        // SAFETY: the slot is free: the backend has consumed it. We are the only producer.
        unsafe {
            (&raw mut (*ring).out[(index % RING_OUT) as usize]).write_volatile(byte);
        }
        producer.store(index.wrapping_add(1), Ordering::Release);
    }
    true
}

fn notify() {
    let channel = EVENT_CHANNEL.load(Ordering::Relaxed);
    // SAFETY: Xen reads four bytes of `channel`.
    unsafe {
        hypercall(nr::EVENT_CHANNEL_OP, [EVTCHNOP_SEND, (&raw const channel) as u64, 0, 0, 0])
    };
}

fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let start = clock::now_ns();
    notify();
    while !done() {
        if clock::now_ns().wrapping_sub(start) > RING_PATIENCE_NS {
            return false;
        }
        shutdown::yield_cpu();
    }
    true
}
