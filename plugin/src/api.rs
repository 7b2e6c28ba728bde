//! QEMU's plugin interface, as far as the QEMU around us has it.
//!
//! The functions are those of the process that loaded us, found by name at run time: one plugin
//! then serves every QEMU from 7.2 on, though its interface has changed in between. What changed,
//! and matters here:
//!
//! | Interface | QEMU | Counting in generated code | A translation callback gets |
//! |---|---|---|---|
//! | 1 | to 8.2 | at any address | id, block |
//! | 2 to 6 | from 9.0 | only in memory of QEMU's own | id, block |
//! | 7 | from 11.1 | likewise | block, user data |

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::transmute_copy;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What QEMU calls us.
pub type Id = u64;
/// A block that is being translated, while it is.
pub type Block = *mut c_void;
/// An instruction in it.
pub type Insn = *mut c_void;

/// Called with our id and the block, or with the block and what was given for our id.
pub type OnTranslation = extern "C" fn(usize, usize);
/// Called with the number of the CPU and our own data.
pub type OnExecution = extern "C" fn(c_uint, *mut c_void);
/// Called with the number of the CPU, what is known of the access, its address and our own data.
pub type OnAccess = extern "C" fn(c_uint, u32, u64, *mut c_void);

/// The only inline operation of interface 1.
const INLINE_ADD: c_int = 0;
/// A callback that looks at no register.
const NO_REGISTERS: c_int = 0;
/// A callback for writes.
const WRITES: c_int = 2;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the null handle means the whole process, and the name ends with a NUL.
    let found = unsafe { dlsym(ptr::null_mut(), name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// The version of the interface that this QEMU wants to hear.
///
/// It refuses a plugin that names another than those it supports, before it tells which. So the
/// functions that came and went with the versions have to tell.
pub fn version() -> c_int {
    if find(c"qemu_plugin_register_vcpu_insn_exec_inline").is_some() {
        1
    } else if find(c"qemu_plugin_register_vcpu_discon_cb").is_some() {
        7
    } else {
        2
    }
}

/// The function of that name.
///
/// # Safety
/// `F` is the type of a pointer to it.
unsafe fn function<F: Copy>(name: &CStr) -> Result<F, String> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    let found = find(name).ok_or_else(|| format!("this QEMU has no {}", name.to_string_lossy()))?;
    // SAFETY: the caller knows the type; a pointer to a function is as large as one to data.
    Ok(unsafe { transmute_copy(&found) })
}

/// How an instruction is made to count.
enum Counting {
    /// Generated code adds to a word of ours.
    Inline(unsafe extern "C" fn(Insn, c_int, *mut c_void, u64)),
    /// Generated code calls us.
    Call,
}

/// QEMU's functions.
pub struct Api {
    on_translation: unsafe extern "C" fn(Id, OnTranslation, usize),
    insns: unsafe extern "C" fn(Block) -> usize,
    insn: unsafe extern "C" fn(Block, usize) -> Insn,
    address: unsafe extern "C" fn(Insn) -> u64,
    size: unsafe extern "C" fn(Insn) -> usize,
    host_address: unsafe extern "C" fn(Insn) -> *const u8,
    on_execution: unsafe extern "C" fn(Insn, OnExecution, c_int, *mut c_void),
    on_access: unsafe extern "C" fn(Insn, OnAccess, c_int, c_int, *mut c_void),
    size_shift: unsafe extern "C" fn(u32) -> c_uint,
    is_store: unsafe extern "C" fn(u32) -> bool,
    counting: Counting,
}

impl Api {
    /// Finds them all, or names the one that is missing.
    pub fn of_this_qemu() -> Result<Api, String> {
        // SAFETY: each field has the type that QEMU's header gives the function of that name in
        // interface 1. In later ones `on_translation` has a third argument, which we pass and older
        // ones never look at; nothing else of these has changed up to 7.
        unsafe {
            let counting = match function(c"qemu_plugin_register_vcpu_insn_exec_inline") {
                Ok(inline) => Counting::Inline(inline),
                Err(_) => Counting::Call,
            };
            Ok(Api {
                on_translation: function(c"qemu_plugin_register_vcpu_tb_trans_cb")?,
                insns: function(c"qemu_plugin_tb_n_insns")?,
                insn: function(c"qemu_plugin_tb_get_insn")?,
                address: function(c"qemu_plugin_insn_vaddr")?,
                size: function(c"qemu_plugin_insn_size")?,
                host_address: function(c"qemu_plugin_insn_haddr")?,
                on_execution: function(c"qemu_plugin_register_vcpu_insn_exec_cb")?,
                on_access: function(c"qemu_plugin_register_vcpu_mem_cb")?,
                size_shift: function(c"qemu_plugin_mem_size_shift")?,
                is_store: function(c"qemu_plugin_mem_is_store")?,
                counting,
            })
        }
    }

    /// Asks for `callback` at each translation.
    ///
    /// It gets our id and the block, in an order that depends on the interface: the id is passed
    /// as user data as well.
    pub fn on_translation(&self, id: Id, callback: OnTranslation) {
        // SAFETY: the callback lives as long as the process, since QEMU never unloads a plugin that
        // does not ask for it; on this 64-bit machine an id fits a `usize`.
        unsafe { (self.on_translation)(id, callback, id as usize) }
    }

    /// The instructions of `block`: address and size of each, and its handle.
    ///
    /// # Safety
    /// `block` is the one that a translation callback got, which has not returned yet.
    pub unsafe fn insns(&self, block: Block) -> impl Iterator<Item = (u64, usize, Insn)> {
        // SAFETY: the caller keeps the block alive.
        let count = unsafe { (self.insns)(block) };
        (0..count).map(move |index| {
            // SAFETY: the caller keeps the block alive, and the index is below its count.
            unsafe {
                let insn = (self.insn)(block, index);
                ((self.address)(insn), (self.size)(insn), insn)
            }
        })
    }

    /// Makes `insn` add one to `count` whenever it is executed.
    ///
    /// # Safety
    /// `insn` is of a block whose translation callback has not returned yet.
    pub unsafe fn count(&self, insn: Insn, count: &'static AtomicU64) {
        let count = count.as_ptr().cast();
        match self.counting {
            // SAFETY: the caller keeps the instruction alive. Generated code will add to the word
            // for as long as the process lives, as the word does. Its additions are not atomic:
            // two CPUs may lose one of two at once, never the first of all.
            Counting::Inline(register) => unsafe { register(insn, INLINE_ADD, count, 1) },
            // SAFETY: the caller keeps the instruction alive, and `add_one` takes such a word.
            Counting::Call => unsafe { self.call(insn, add_one, count) },
        }
    }

    /// Where in this process the bytes of `insn` are; null where they are in no memory.
    ///
    /// # Safety
    /// `insn` is of a block whose translation callback has not returned yet.
    pub unsafe fn host_address(&self, insn: Insn) -> *const u8 {
        // SAFETY: the caller keeps the instruction alive.
        unsafe { (self.host_address)(insn) }
    }

    /// Calls `callback` with `data` whenever `insn` is about to be executed.
    ///
    /// # Safety
    /// `insn` is of a block whose translation callback has not returned yet, and `callback` takes
    /// `data`, for as long as the process lives.
    pub unsafe fn call(&self, insn: Insn, callback: OnExecution, data: *mut c_void) {
        // SAFETY: the caller keeps both alive.
        unsafe { (self.on_execution)(insn, callback, NO_REGISTERS, data) }
    }

    /// Calls `callback` with `data` whenever `insn` has written to memory; QEMU 7.2 does so when it
    /// has read from it, too.
    ///
    /// # Safety
    /// As for [`Api::call`].
    pub unsafe fn on_write(&self, insn: Insn, callback: OnAccess, data: *mut c_void) {
        // SAFETY: the caller keeps both alive.
        unsafe { (self.on_access)(insn, callback, NO_REGISTERS, WRITES, data) }
    }

    /// How many bytes an access writes of which this is known; `None` if it reads.
    pub fn written(&self, known: u32) -> Option<u64> {
        // SAFETY: they take the number apart, and look at nothing else.
        unsafe { (self.is_store)(known).then(|| 1 << (self.size_shift)(known)) }
    }
}

extern "C" fn add_one(_cpu: c_uint, count: *mut c_void) {
    // SAFETY: `Api::count` registers this with the address of an `AtomicU64` that lives for ever.
    let count = unsafe { AtomicU64::from_ptr(count.cast()) };
    count.fetch_add(1, Ordering::Relaxed);
}
