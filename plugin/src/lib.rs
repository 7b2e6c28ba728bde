//! A TCG plugin that counts how often chosen instructions of Xen are executed.
//!
//! Xen runs at fixed virtual addresses, which its xen-syms tells, so a stock QEMU can count for a
//! stock Xen: no part of either is built for it. `-plugin libxtf_plugin.so,map=FILE` is the whole
//! interface; [`protocol::plugin`] describes the file. With `leave=now` it ends QEMU right after it
//! found everything in order, so that a runner can tell in advance.
//!
//! With `phases=FILE` it also writes down which of them were executed between two
//! [marks](protocol::mark) of the guest's.
//!
//! With `mailbox=FILE` it also carries inputs from a fuzzer into a guest that calls for them, and
//! the guest's answers back: see [`protocol::letterbox`] and [`protocol::mailbox`].
//!
//! With `timeline=FILE` it numbers the instructions of a boot, so that a machine can be held before
//! the same one each time: see [`protocol::timeline`].
//!
//! This code runs inside of QEMU: it does as little as it can there. At each translation it looks
//! for chosen addresses in the block and lets those instructions count for themselves, into the
//! file. Everything else happens in the runner, before and after.

mod api;
mod map;
mod phases;
mod post;
mod shared;
mod timeline;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use api::{Api, Id};
use map::Map;
use phases::Phases;
use post::Mailbox;
use protocol::image::BASE;
use protocol::letterbox::NOP_SIZE;
use protocol::mark::Mark;
use protocol::plugin::{LEAVE_NOW, MAILBOX, MAP, PHASES};
use protocol::timeline::TIMELINE;
use timeline::Timeline;

/// The interface that this plugin is for. QEMU reads it right after loading us.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: AtomicI32 = AtomicI32::new(1);

/// Runs when we are loaded, before QEMU looks at [`qemu_plugin_version`].
#[used]
#[unsafe(link_section = ".init_array")]
static CHOOSE_VERSION: extern "C" fn() = {
    extern "C" fn choose_version() {
        qemu_plugin_version.store(api::version(), Ordering::Relaxed);
    }
    choose_version
};

/// What the callbacks need.
struct Plugin {
    id: Id,
    api: Api,
    map: Map,
    phases: Option<Phases>,
    mailbox: Option<Mailbox>,
    timeline: Option<Timeline>,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// QEMU's entry to a plugin.
///
/// # Safety
/// `arguments` are `count` C strings, as QEMU's documentation promises.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let arguments = (0..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: the caller promises that there are so many.
        unsafe { CStr::from_ptr(*arguments.add(index)) }.to_string_lossy()
    });
    match install(id, arguments) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("xtf-plugin: {why}");
            1
        }
    }
}

fn install(id: Id, arguments: impl Iterator<Item: AsRef<str>>) -> Result<(), String> {
    let mut map = None;
    let (mut phases, mut mailbox, mut timeline) = (None, None, None);
    let mut leave = false;
    for argument in arguments {
        let argument = argument.as_ref();
        match argument.split_once('=') {
            Some((MAP, path)) => map = Some(Map::open(path)?),
            Some((PHASES, path)) => phases = Some(path.to_owned()),
            Some((MAILBOX, path)) => mailbox = Some(Mailbox::open(path)?),
            Some((TIMELINE, path)) => timeline = Some(Timeline::open(path)?),
            _ if argument == LEAVE_NOW => leave = true,
            _ => {
                return Err(format!(
                    "unknown option `{argument}`; expected {MAP}=FILE, {PHASES}=FILE, \
                     {MAILBOX}=FILE, {TIMELINE}=FILE or {LEAVE_NOW}"
                ));
            }
        }
    }
    let map = map.ok_or_else(|| format!("{MAP}=FILE is missing"))?;
    let phases = phases.map(|path| Phases::open(&path, map.all().len())).transpose()?;
    let api = Api::of_this_qemu()?;
    if leave {
        return Err(format!("{LEAVE_NOW}: the plugin works; ending QEMU"));
    }
    let plugin = PLUGIN.get_or_init(|| Plugin { id, api, map, phases, mailbox, timeline });
    plugin.api.on_translation(id, translated);
    Ok(())
}

/// A block is about to be translated: `a` and `b` are our id and the block, or the other way round.
extern "C" fn translated(a: usize, b: usize) {
    let Some(plugin) = PLUGIN.get() else { return };
    let block = if a as Id == plugin.id { b } else { a } as api::Block;
    // SAFETY: of the two, the one that is not our id is the block; QEMU keeps it until we return.
    for (address, size, insn) in unsafe { plugin.api.insns(block) } {
        for count in plugin.map.counts(address, size as u64) {
            // SAFETY: the instruction is of that block.
            unsafe { plugin.api.count(insn, count) };
        }
        if let Some(timeline) = &plugin.timeline {
            let data = ptr::without_provenance_mut(address as usize);
            // SAFETY: the instruction is of that block, and these take any number.
            unsafe {
                plugin.api.call(insn, begins, data);
                if size == 1 && timeline::is_output(plugin.api.host_address(insn)) {
                    plugin.api.call(insn, puts_out, data);
                }
                if timeline.is_hit(address) {
                    plugin.api.call(insn, hits, data);
                }
                if timeline.watches_memory() {
                    plugin.api.on_write(insn, writes, data);
                }
            }
        }
        if size != NOP_SIZE || !GUESTS.contains(&address) {
            continue;
        }
        // SAFETY: the instruction is of that block.
        let code = unsafe { plugin.api.host_address(insn) };
        if plugin.mailbox.is_some()
            // SAFETY: an instruction of that size; at a guest's addresses there is only memory.
            && let Some(place) = unsafe { post::letterbox(code) }
        {
            // SAFETY: the instruction is of that block, and `called` takes such a place.
            unsafe { plugin.api.call(insn, called, place.cast_mut().cast()) };
        }
        if plugin.phases.is_some()
            // SAFETY: as above.
            && let Some(mark) = unsafe { phases::mark(code) }
        {
            let carried = ptr::without_provenance_mut(mark.carried() as usize);
            // SAFETY: the instruction is of that block, and `marked` takes any number.
            unsafe { plugin.api.call(insn, marked, carried) };
        }
    }
}

/// Where guests of ours have their code.
const GUESTS: Range<u64> = BASE..1 << 30;

/// A guest executes its call.
extern "C" fn called(_cpu: c_uint, place: *mut c_void) {
    if let Some(mailbox) = PLUGIN.get().and_then(|plugin| plugin.mailbox.as_ref()) {
        // SAFETY: registered with a place from `post::letterbox`, for a guest that holds the pair
        // of NOPs at one of our image's addresses.
        unsafe { post::called(mailbox, place.cast_const().cast()) };
    }
}

/// The instruction at `address` begins.
extern "C" fn begins(_cpu: c_uint, address: *mut c_void) {
    if let Some(timeline) = PLUGIN.get().and_then(|plugin| plugin.timeline.as_ref()) {
        timeline.begin(address.addr() as u64);
    }
}

/// It writes a byte to a port.
extern "C" fn puts_out(_cpu: c_uint, _address: *mut c_void) {
    if let Some(timeline) = PLUGIN.get().and_then(|plugin| plugin.timeline.as_ref()) {
        timeline.output();
    }
}

/// It is one that somebody waits for.
extern "C" fn hits(_cpu: c_uint, address: *mut c_void) {
    if let Some(timeline) = PLUGIN.get().and_then(|plugin| plugin.timeline.as_ref()) {
        timeline.hit(address.addr() as u64, 0);
    }
}

/// It wrote to `to`.
extern "C" fn writes(_cpu: c_uint, known: u32, to: u64, address: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    if let (Some(timeline), Some(size)) = (&plugin.timeline, plugin.api.written(known)) {
        timeline.write(address.addr() as u64, to, size);
    }
}

/// A guest executes a mark that carries `carried`.
extern "C" fn marked(_cpu: c_uint, carried: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let mark = u32::try_from(carried.addr()).ok().and_then(Mark::from_carried);
    if let (Some(phases), Some(mark)) = (&plugin.phases, mark) {
        phases.end(mark, plugin.map.all());
    }
}
