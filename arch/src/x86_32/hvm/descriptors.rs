//! GDT, IDT and TSSs. #DF is a task of its own on each CPU, so that a bad stack pointer is reported.

use core::arch::asm;
use core::cell::UnsafeCell;

use super::double_fault::{entry, stack_top};
use super::task::Tss;
use super::traps::trap_addresses_hvm;
use crate::stacks::MAX_CPUS;
use crate::trap::VECTORS;

const CODE: u16 = 1 << 3;
const DATA: u16 = 2 << 3;
const TASK: u16 = 3 << 3;
const DOUBLE_FAULT_TASK: u16 = 4 << 3;
const GDT_ENTRIES: usize = 5;

const DOUBLE_FAULT: usize = 8;

/// A flat segment of 4 GiB at ring 0: readable code, and writable data.
const FLAT_CODE: u64 = 0x00cf_9b00_0000_ffff;
const FLAT_DATA: u64 = 0x00cf_9300_0000_ffff;
/// Attributes of a segment as a guest describes it for a CPU that is to come up, and of a busy TSS.
pub const CODE_ATTRIBUTES: u16 = 0xc9b;
pub const DATA_ATTRIBUTES: u16 = 0xc93;
pub const TASK_ATTRIBUTES: u16 = 0x08b;

/// What the CPU reads and writes by itself: one CPU's tables.
#[repr(C, align(128))]
struct Tables {
    task: Tss,
    double_fault: Tss,
    gdt: [u64; GDT_ENTRIES],
}

/// A place for tables: each CPU's own, but for the interrupt descriptor table.
struct Place<T>(UnsafeCell<T>);

// SAFETY: a CPU fills its tables before it has the hardware use them; the interrupt descriptor table
// is filled by the first CPU, before there is another.
unsafe impl<T> Sync for Place<T> {}

static TABLES: [Place<Tables>; MAX_CPUS] = [const {
    Place(UnsafeCell::new(Tables {
        task: Tss::EMPTY,
        double_fault: Tss::EMPTY,
        gdt: [0; GDT_ENTRIES],
    }))
}; MAX_CPUS];
static IDT: Place<[u64; VECTORS]> = Place(UnsafeCell::new([0; VECTORS]));

/// A table and its length less one, as LGDT and LIDT take them.
#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u32,
}

/// A present 32-bit interrupt gate of privilege level 0.
const fn interrupt_gate(handler: u32) -> u64 {
    gate(handler, CODE, 0x8e)
}

const fn gate(offset: u32, selector: u16, kind: u8) -> u64 {
    let (low, high) = (offset & 0xffff, offset >> 16);
    low as u64 | (selector as u64) << 16 | (kind as u64) << 40 | (high as u64) << 48
}

/// A present, available 32-bit TSS.
fn task_descriptor(tss: *const Tss) -> u64 {
    let base = tss.addr() as u64;
    let limit = size_of::<Tss>() as u64 - 1;
    limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24) << 56
}

/// Builds and loads the tables of one CPU; the IDT is everybody's.
pub fn install(cpu: usize) {
    let tables = TABLES[cpu].0.get();
    let idt = IDT.0.get();
    // SAFETY: nobody else uses this CPU's tables, and the first CPU is alone when it fills the IDT.
    unsafe {
        let task = &mut (*tables).double_fault;
        task.eip = entry();
        task.eflags = 1 << 1;
        task.ebx = (&raw const (*tables).task) as u32;
        task.esp = stack_top(cpu);
        task.es = DATA.into();
        task.cs = CODE.into();
        task.ss = DATA.into();
        task.ds = DATA.into();
        (*tables).gdt = [
            0,
            FLAT_CODE,
            FLAT_DATA,
            task_descriptor(&raw const (*tables).task),
            task_descriptor(&raw const (*tables).double_fault),
        ];
        if cpu == 0 {
            *idt = trap_addresses_hvm.map(interrupt_gate);
            (*idt)[DOUBLE_FAULT] = gate(0, DOUBLE_FAULT_TASK, 0x85);
        }
    }
    // SAFETY: as above.
    let gdt = unsafe { &raw const (*tables).gdt };
    let gdt = Pointer { limit: (8 * GDT_ENTRIES - 1) as u16, base: gdt.addr() as u32 };
    // SAFETY: the table has flat segments for code and data, as there are now, and a TSS; it lives as
    // long as the image.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "push {code}",
            "lea eax, [2f]",
            "push eax",
            "retf",
            "2:",
            "mov ds, {data:x}",
            "mov es, {data:x}",
            "mov ss, {data:x}",
            "ltr {task:x}",
            gdt = in(reg) &raw const gdt,
            code = const CODE,
            data = in(reg) u32::from(DATA),
            task = in(reg) u32::from(TASK),
            out("eax") _,
        );
    }
    load_idt(idt.addr() as u32, size_of::<[u64; VECTORS]>());
}

/// Has a CPU's tasks use these page tables: the CPU itself loads CR3 from a TSS, and never stores it.
pub fn set_root(cpu: usize, root: u32) {
    let tables = TABLES[cpu].0.get();
    // SAFETY: the CPU's own, and neither task is switched to.
    unsafe {
        (*tables).task.cr3 = root;
        (*tables).double_fault.cr3 = root;
    }
}

/// Does `work` while an exception has no handler. On the first CPU, before others are up.
pub fn without_gate<R>(vector: usize, work: impl FnOnce() -> R) -> R {
    // SAFETY: an entry of the table, which the CPU reads while this guest's only one is here.
    let entry = unsafe { (&raw mut (*IDT.0.get())[vector]) };
    // SAFETY: as above; volatile, as the CPU reads it in between.
    let gate = unsafe { entry.read_volatile() };
    // SAFETY: as above: not present.
    unsafe { entry.write_volatile(0) };
    let result = work();
    // SAFETY: as above.
    unsafe { entry.write_volatile(gate) };
    result
}

/// Loads an empty table: the next fault escalates until the CPU shuts down.
pub fn forget() {
    load_idt(0, 1);
}

fn load_idt(base: u32, size: usize) {
    let pointer = Pointer { limit: (size - 1) as u16, base };
    // SAFETY: a table that lives as long as the image, with handlers that keep to the frame
    // layout of `trap`; or, in `forget`, none at all, on purpose.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack)) };
}
