//! GDT, IDT and TSS. #DF has a stack of its own on each CPU, so that a bad stack pointer is
//! reported.

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

use super::traps::trap_addresses_hvm;
use crate::page::{PAGE_SIZE, Page};
use crate::stacks::MAX_CPUS;
use crate::trap::VECTORS;

const DOUBLE_FAULT_IST: u16 = 0;
const DOUBLE_FAULT: usize = 8;

const DOUBLE_FAULT_STACK_PAGES: usize = 4;

static DOUBLE_FAULT_STACKS: [[Page; DOUBLE_FAULT_STACK_PAGES]; MAX_CPUS] =
    [const { [const { Page::zeroed() }; DOUBLE_FAULT_STACK_PAGES] }; MAX_CPUS];
static TSS: [Once<TaskStateSegment>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
static GDT: [Once<GlobalDescriptorTable>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
static IDT: Once<RawIdt> = Once::new();

/// An interrupt descriptor table: two words a gate. The x86_64 crate's own table wants handlers
/// of the unstable `x86-interrupt` ABI for the vectors that it has fields for.
#[repr(C, align(16))]
struct RawIdt([[u64; 2]; VECTORS]);

const _: () = assert!(size_of::<RawIdt>() <= size_of::<InterruptDescriptorTable>());

/// A present 64-bit interrupt gate of privilege level 0.
const fn gate(handler: u64, code: u16, ist: u8) -> [u64; 2] {
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e << 40;
    [
        (handler & 0xffff)
            | (code as u64) << 16
            | (ist as u64) << 32
            | PRESENT_INTERRUPT_GATE
            | (handler >> 16 & 0xffff) << 48,
        handler >> 32,
    ]
}

/// Builds and loads the tables of one CPU; the IDT is everybody's.
pub fn install(cpu: usize) {
    let tss = TSS[cpu].call_once(|| {
        let mut tss = TaskStateSegment::new();
        let stack_top =
            DOUBLE_FAULT_STACKS[cpu][0].address() + DOUBLE_FAULT_STACK_PAGES as u64 * PAGE_SIZE;
        tss.interrupt_stack_table[usize::from(DOUBLE_FAULT_IST)] = VirtAddr::new(stack_top);
        tss
    });
    let mut code = SegmentSelector::NULL;
    let mut data = SegmentSelector::NULL;
    let mut task = SegmentSelector::NULL;
    let gdt = GDT[cpu].call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        code = gdt.append(Descriptor::kernel_code_segment());
        data = gdt.append(Descriptor::kernel_data_segment());
        task = gdt.append(Descriptor::tss_segment(tss));
        gdt
    });
    gdt.load();
    // SAFETY: the selectors are those of the table just loaded: flat code and data, and the TSS.
    unsafe {
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(data);
        ES::set_reg(data);
        load_tss(task);
    }
    let idt = IDT.call_once(|| {
        let mut gates = [[0; 2]; VECTORS];
        for (vector, gate_) in gates.iter_mut().enumerate() {
            // In a gate 0 means "no stack switch", so indices are one higher than in the TSS.
            let ist = if vector == DOUBLE_FAULT { DOUBLE_FAULT_IST as u8 + 1 } else { 0 };
            *gate_ = gate(trap_addresses_hvm[vector], code.0, ist);
        }
        RawIdt(gates)
    });
    load_idt(VirtAddr::from_ptr(idt), size_of::<RawIdt>());
}

/// Loads an empty table: the next fault escalates until the CPU shuts down.
pub fn forget() {
    load_idt(VirtAddr::zero(), 1);
}

fn load_idt(base: VirtAddr, size: usize) {
    let pointer = DescriptorTablePointer { limit: (size - 1) as u16, base };
    // SAFETY: a table that lives as long as the image, with handlers that keep to the frame
    // layout of `trap`; or, in `forget`, none at all, on purpose.
    unsafe { x86_64::instructions::tables::lidt(&pointer) };
}
