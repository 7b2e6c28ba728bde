//! A TCG plugin that counts how often chosen instructions of Xen are executed.
//!
//! Xen runs at fixed virtual addresses, which its xen-syms tells, so a stock QEMU can count for a
//! stock Xen: no part of either is built for it. `-plugin libxtf_plugin.so,map=FILE` is the whole
//! interface; `layout` describes the file. With `leave=now` it ends QEMU right after it found
//! everything in order, so that a runner can tell in advance.
//!
//! This code runs inside of QEMU: it does as little as it can there. At each translation it looks
//! for chosen addresses in the block and lets those instructions count for themselves, into the
//! file. Everything else happens in the runner, before and after.

mod api;
mod layout;
mod map;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use api::{Api, Id};
use map::Map;

/// The interface that this plugin is for. QEMU reads it right after loading us.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "QEMU looks for this name")]
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
    let mut leave = false;
    for argument in arguments {
        match argument.as_ref().split_once('=') {
            Some(("map", path)) => map = Some(Map::open(path)?),
            Some(("leave", "now")) => leave = true,
            _ => return Err(format!("what is `{}`?", argument.as_ref())),
        }
    }
    let map = map.ok_or("map=FILE is missing")?;
    let api = Api::of_this_qemu()?;
    if leave {
        return Err("all is well; leaving, as asked".into());
    }
    let plugin = PLUGIN.get_or_init(|| Plugin { id, api, map });
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
    }
}
