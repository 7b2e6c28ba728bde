//! Xen's hypercalls, as far as a caller has to know them, how lists name them, and those that
//! `hypercall-fuzz` never makes.
//!
//! Numbers, names and arguments: xen/include/public/xen.h and the headers of each.

use core::fmt;

/// What an argument is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A sub-op: what its names begin with in Xen's headers, and how they go on, by number. `-` is a
    /// number without a name.
    Op(&'static str, &'static str),
    /// A small selector, of which this many are known.
    Sub(u32),
    /// A pointer.
    Pointer,
    /// A number of things.
    Count,
    /// A domain.
    Domain,
    /// A virtual address whose mapping is to change.
    Mapping,
    /// Something else.
    Any,
}

use Kind::{Any, Count, Domain, Mapping, Op, Pointer, Sub};

/// A hypercall's name and arguments, by its number.
pub const CALLS: [(&str, &[Kind]); 64] = [
    ("set_trap_table", &[Pointer]),
    ("mmu_update", &[Pointer, Count, Pointer, Domain]),
    ("set_gdt", &[Pointer, Count]),
    ("stack_switch", &[Any, Any]),
    ("set_callbacks", &[Any, Any, Any]),
    ("fpu_taskswitch", &[Sub(2)]),
    ("sched_op_compat", &[Op("SCHEDOP_", "yield block shutdown"), Any]),
    ("platform_op", &[Pointer]),
    ("set_debugreg", &[Sub(8), Any]),
    ("get_debugreg", &[Sub(8)]),
    ("update_descriptor", &[Any, Any]),
    UNUSED,
    (
        "memory_op",
        &[
            Op(
                "XENMEM_",
                "increase_reservation decrease_reservation maximum_ram_page current_reservation \
                 maximum_reservation machphys_mfn_list populate_physmap add_to_physmap - memory_map \
                 machine_memory_map exchange machphys_mapping set_memory_map maximum_gpfn \
                 remove_from_physmap set_pod_target get_pod_target get_sharing_freed_pages \
                 get_sharing_shared_pages paging_op access_op sharing_op add_to_physmap_batch \
                 claim_pages machphys_compat_mfn_list get_vnumainfo reserved_device_memory_map \
                 acquire_resource",
            ),
            Pointer,
        ],
    ),
    ("multicall", &[Pointer, Count]),
    ("update_va_mapping", &[Mapping, Any, Sub(8)]),
    ("set_timer_op", &[Any]),
    ("event_channel_op_compat", &[Pointer]),
    (
        "xen_version",
        &[
            Op(
                "XENVER_",
                "version extraversion compile_info capabilities changeset platform_parameters \
                 get_features pagesize guest_handle commandline build_id extraversion2 \
                 capabilities2 changeset2 commandline2",
            ),
            Pointer,
        ],
    ),
    ("console_io", &[Op("CONSOLEIO_", "write read"), Count, Pointer]),
    ("physdev_op_compat", &[Pointer]),
    (
        "grant_table_op",
        &[
            Op(
                "GNTTABOP_",
                "map_grant_ref unmap_grant_ref setup_table dump_table transfer copy query_size \
                 unmap_and_replace set_version get_status_frames get_version swap_grant_ref \
                 cache_flush",
            ),
            Pointer,
            Count,
        ],
    ),
    ("vm_assist", &[Op("VMASST_CMD_", "enable disable"), Sub(34)]),
    ("update_va_mapping_otherdomain", &[Mapping, Any, Sub(8), Domain]),
    ("iret", &[]),
    (
        "vcpu_op",
        &[
            Op(
                "VCPUOP_",
                "initialise up down is_up get_runstate_info register_runstate_memory_area \
                 set_periodic_timer stop_periodic_timer set_singleshot_timer stop_singleshot_timer \
                 register_vcpu_info send_nmi get_physid register_vcpu_time_memory_area \
                 register_runstate_phys_area register_vcpu_time_phys_area",
            ),
            Sub(2),
            Pointer,
        ],
    ),
    ("set_segment_base", &[Op("SEGBASE_", "FS GS_USER GS_KERNEL GS_USER_SEL"), Any]),
    ("mmuext_op", &[Pointer, Count, Pointer, Domain]),
    ("xsm_op", &[Pointer]),
    ("nmi_op", &[Op("XENNMI_", "register_callback unregister_callback"), Pointer]),
    (
        "sched_op",
        &[
            Op(
                "SCHEDOP_",
                "yield block shutdown poll remote_shutdown shutdown_code watchdog pin_override",
            ),
            Pointer,
        ],
    ),
    ("callback_op", &[Op("CALLBACKOP_", "register unregister"), Pointer]),
    (
        "xenoprof_op",
        &[
            Op(
                "XENOPROF_",
                "init reset_active_list reset_passive_list set_active set_passive reserve_counters \
                 counter setup_events enable_virq start stop disable_virq release_counters shutdown \
                 get_buffer set_backtrace get_ibs_caps ibs_counter",
            ),
            Pointer,
        ],
    ),
    (
        "event_channel_op",
        &[
            Op(
                "EVTCHNOP_",
                "bind_interdomain bind_virq bind_pirq close send status alloc_unbound bind_ipi \
                 bind_vcpu unmask reset init_control expand_array set_priority reset_cont",
            ),
            Pointer,
        ],
    ),
    (
        "physdev_op",
        &[
            Op(
                "PHYSDEVOP_",
                "- - - - IRQ_UNMASK_NOTIFY irq_status_query set_iopl set_iobitmap apic_read \
                 apic_write alloc_irq_vector free_irq_vector eoi map_pirq unmap_pirq \
                 manage_pci_add manage_pci_remove pirq_eoi_gmfn_v1 - restore_msi \
                 manage_pci_add_ext setup_gsi - get_free_pirq pci_mmcfg_reserved pci_device_add \
                 pci_device_remove restore_msi_ext pirq_eoi_gmfn_v2 dbgp_op prepare_msix \
                 release_msix pci_device_reset",
            ),
            Pointer,
        ],
    ),
    (
        "hvm_op",
        &[
            Op(
                "HVMOP_",
                "set_param get_param set_pci_intx_level set_isa_irq_level set_pci_link_route \
                 flush_tlbs - - - pagetable_dying get_time xentrace set_mem_access get_mem_access \
                 - get_mem_type - - - - - - - set_evtchn_upcall_vector guest_request_vm_event \
                 altp2m",
            ),
            Pointer,
        ],
    ),
    ("sysctl", &[Pointer]),
    ("domctl", &[Pointer]),
    (
        "kexec_op",
        &[
            Op(
                "KEXEC_CMD_",
                "kexec kexec_load_v1 kexec_unload_v1 kexec_get_range kexec_load kexec_unload \
                 kexec_status",
            ),
            Pointer,
        ],
    ),
    ("tmem_op", &[Pointer]),
    (
        "argo_op",
        &[
            Op("XEN_ARGO_OP_", "- register_ring unregister_ring sendv notify"),
            Pointer,
            Pointer,
            Count,
            Any,
        ],
    ),
    (
        "xenpmu_op",
        &[
            Op("XENPMU_", "mode_get mode_set feature_get feature_set init finish lvtpc_set flush"),
            Pointer,
        ],
    ),
    ("dm_op", &[Domain, Count, Pointer]),
    (
        "hypfs_op",
        &[Op("XEN_HYPFS_OP_", "get_version read write_contents"), Pointer, Count, Pointer, Count],
    ),
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    ("mca", &[Pointer]),
    ("arch_1", &[Sub(8), Pointer, Any]),
    ("arch_2", &[Any, Any]),
    ("arch_3", &[Any, Any]),
    ("arch_4", &[Any, Any]),
    ("arch_5", &[Any, Any]),
    ("arch_6", &[Any, Any]),
    ("arch_7", &[Any, Any]),
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
];

/// No call of Xen's.
const UNUSED: (&str, &[Kind]) = ("unused", &[Any, Any, Any, Any, Any]);

/// Multicall: its entries are calls, for which the lists hold as well.
pub const MULTICALL: u32 = 13;
const MEMORY_OP: u32 = 12;
/// Above these bits of memory_op's sub-op is how far an earlier call came.
const MEMORY_OP_BITS: u32 = 0x3f;
/// Lists name smaller sub-ops only. All of Xen's are; what is larger could be the number of a frame.
const SUB_OPS: u32 = 0x100;

/// What only a control domain may do.
pub const PRIVILEGED: [u32; 5] = [7, 35, 36, 37, 42];

/// Calls that are never made, and why.
pub const LEFT_OUT: &[(Selector, &str)] = &[
    (sub_op(6, 1), "blocks until an event comes, and none does"),
    (sub_op(6, 2), "is the domain's deliberate end"),
    (whole(8), "sets a trap for this guest's own next steps"),
    (sub_op(12, 7), "can take away the page that this guest reads its clock from"),
    (sub_op(12, 23), "can take away the page that this guest reads its clock from"),
    (whole(16), "can close the console's channel; event_channel_op does the rest"),
    (sub_op(18, 0), "puts random text into the host's log, where its panics are looked for"),
    (whole(23), "does not return to its caller"),
    (sub_op(24, 2), "stops the domain's only CPU"),
    (sub_op(24, 10), "moves the clock away from where this guest reads it"),
    (sub_op(24, 11), "sends this guest an NMI"),
    (sub_op(29, 1), "blocks until an event comes, and none does"),
    (sub_op(29, 2), "is the domain's deliberate end"),
    (sub_op(29, 3), "sleeps for as long as a random number says"),
    (sub_op(29, 5), "gives whatever ends the domain a random reason"),
    (sub_op(29, 6), "is the domain's end some time later"),
    (sub_op(32, 3), "can close the console's channel"),
    (sub_op(32, 10), "closes the console's channel"),
];

/// A hypercall, or one sub-op of it. In lists: `kexec_op`, `grant_table_op.copy`,
/// `grant_table_op.5`, or `20.5`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selector {
    /// The call's number.
    pub number: u32,
    /// The sub-op; `None` is all of them.
    pub sub_op: Option<u32>,
}

const fn whole(number: u32) -> Selector {
    Selector { number, sub_op: None }
}

const fn sub_op(number: u32, sub_op: u32) -> Selector {
    Selector { number, sub_op: Some(sub_op) }
}

impl Selector {
    /// The call with `first` as its first argument.
    pub fn of(number: u32, first: u64) -> Self {
        // Xen's sub-ops are ints.
        let first = first as u32;
        sub_op(number, if number == MEMORY_OP { first & MEMORY_OP_BITS } else { first })
    }

    /// What `word` of a list names.
    ///
    /// # Errors
    /// The part that names nothing.
    pub fn parse(word: &str) -> Result<Self, Unknown<'_>> {
        let (call, sub_op) = match word.split_once('.') {
            Some((call, sub_op)) => (call, Some(sub_op)),
            None => (word, None),
        };
        let number = match call.parse() {
            Ok(number) => Some(number).filter(|number| *number < CALLS.len()),
            Err(_) => CALLS.iter().position(|entry| entry.0 == call && call != UNUSED.0),
        };
        let number = number.ok_or(Unknown::Call(call))? as u32;
        let Some(name) = sub_op else { return Ok(whole(number)) };
        let prefix = match CALLS[number as usize].1.first() {
            Some(Op(prefix, _)) => prefix,
            Some(Sub(_)) => "",
            _ => return Err(Unknown::NoSubOps(number)),
        };
        let short = name.strip_prefix(prefix).unwrap_or(name);
        let sub_op = match name.parse() {
            Ok(sub_op) => Some(sub_op).filter(|sub_op| *sub_op < SUB_OPS),
            Err(_) => sub_ops(number).find(|(_, known)| *known == short).map(|(sub_op, _)| sub_op),
        };
        let sub_op = sub_op.ok_or(Unknown::SubOp(number, name))?;
        Ok(Self::of(number, sub_op.into()))
    }

    /// Whether it names all that `other` does.
    pub fn covers(self, other: Self) -> bool {
        self.number == other.number && (self.sub_op.is_none() || self.sub_op == other.sub_op)
    }

    /// Why it is never made, if so.
    pub fn left_out(self) -> Option<&'static str> {
        LEFT_OUT.iter().find(|(left_out, _)| left_out.covers(self)).map(|(_, why)| *why)
    }

    /// Whether it may be made, when `except` are not.
    pub fn is_allowed(self, except: &[Self]) -> bool {
        self.left_out().is_none() && !except.iter().any(|other| other.covers(self))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match CALLS[number as usize] {
            (name, _) if name == UNUSED.0 => write!(f, "{number}")?,
            (name, _) => f.write_str(name)?,
        }
        let Some(sub_op) = self.sub_op else { return Ok(()) };
        match sub_ops(number).find(|(known, _)| *known == sub_op) {
            Some((_, name)) => write!(f, ".{name}"),
            None => write!(f, ".{sub_op}"),
        }
    }
}

/// What a list names that there is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown<'a> {
    /// No call has this name or number.
    Call(&'a str),
    /// The call has no such sub-op.
    SubOp(u32, &'a str),
    /// What the call does is not decided by its first argument.
    NoSubOps(u32),
}

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Call(name) => write!(f, "no hypercall is called `{name}`"),
            Self::SubOp(number, name) => write!(f, "{} has no sub-op `{name}`", whole(number)),
            Self::NoSubOps(number) => {
                write!(f, "{0} has no sub-op as its first argument", whole(number))
            }
        }
    }
}

/// The names of hypercalls.
pub fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|entry| entry.0).filter(|name| *name != UNUSED.0)
}

/// The sub-ops of a call that have names: numbers, and names without what all begin with.
pub fn sub_ops(number: u32) -> impl Iterator<Item = (u32, &'static str)> {
    let names = match CALLS[number as usize].1.first() {
        Some(Op(_, names)) => names,
        _ => "",
    };
    (0..).zip(names.split_ascii_whitespace()).filter(|(_, name)| *name != "-")
}

/// What calls are made of when a domain is to make `only` these, or all if there are none, but not
/// `except` those.
pub fn candidates(only: &[Selector], except: &[Selector]) -> impl Iterator<Item = Selector> {
    let all = (0..CALLS.len() as u32).map(whole).filter(|_| only.is_empty());
    all.chain(only.iter().copied()).filter(|call| call.is_allowed(except))
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    fn list(words: &str) -> Vec<Selector> {
        words.split_terminator(',').map(|word| Selector::parse(word).unwrap()).collect()
    }

    fn left(only: &str, except: &str) -> String {
        let (only, except) = (list(only), list(except));
        candidates(&only, &except).map(|call| call.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The numbers are those of Xen's headers.
    #[test]
    fn what_is_left_out_by_its_names() {
        let names: Vec<String> = LEFT_OUT.iter().map(|(call, _)| call.to_string()).collect();
        assert_eq!(
            names.join(" "),
            "sched_op_compat.block sched_op_compat.shutdown set_debugreg memory_op.add_to_physmap \
             memory_op.add_to_physmap_batch event_channel_op_compat console_io.write iret \
             vcpu_op.down vcpu_op.register_vcpu_info vcpu_op.send_nmi sched_op.block \
             sched_op.shutdown sched_op.poll sched_op.shutdown_code sched_op.watchdog \
             event_channel_op.close event_channel_op.reset"
        );
        let last = |number| sub_ops(number).last();
        for (number, expected) in [
            (12, (28, "acquire_resource")),
            (17, (14, "commandline2")),
            (20, (12, "cache_flush")),
            (24, (15, "register_vcpu_time_phys_area")),
            (31, (17, "ibs_counter")),
            (32, (14, "reset_cont")),
            (33, (32, "pci_device_reset")),
            (34, (25, "altp2m")),
            (39, (4, "notify")),
            (40, (7, "flush")),
        ] {
            assert_eq!(last(number), Some(expected));
        }
        let privileged = PRIVILEGED.map(|number| whole(number).to_string());
        assert_eq!(privileged, ["platform_op", "sysctl", "domctl", "kexec_op", "hypfs_op"]);
    }

    #[test]
    fn names_and_numbers_name_the_same() {
        for word in
            ["grant_table_op.copy", "grant_table_op.GNTTABOP_copy", "grant_table_op.5", "20.5"]
        {
            assert_eq!(Selector::parse(word), Ok(sub_op(20, 5)), "{word}");
            assert_eq!(sub_op(20, 5).to_string(), "grant_table_op.copy");
        }
        for (word, number) in [("kexec_op", 37), ("43", 43), ("mca", 48), ("multicall", 13)] {
            assert_eq!(Selector::parse(word), Ok(whole(number)));
        }
        // What is no name remains a number.
        for word in ["grant_table_op.99", "memory_op.8", "arch_1.3", "43"] {
            assert_eq!(Selector::parse(word).unwrap().to_string(), word);
        }
        // Xen sees the lower bits as the sub-op.
        assert_eq!(Selector::parse("memory_op.71"), Ok(sub_op(12, 7)));
        assert_eq!(Selector::of(12, 0xffff_0000_0000 | 0x47), sub_op(12, 7));
    }

    #[test]
    fn what_there_is_not() {
        for word in ["", "kexec", "unused", "64", "-1", "kexec op"] {
            assert_eq!(Selector::parse(word), Err(Unknown::Call(word)));
        }
        for word in ["", "cop", "EVTCHNOP_copy", "256", "-", "-1", "copy.1"] {
            let text = std::format!("grant_table_op.{word}");
            assert_eq!(Selector::parse(&text), Err(Unknown::SubOp(20, word)));
        }
        for word in ["sysctl.27", "43.1", "set_timer_op.1"] {
            assert!(matches!(Selector::parse(word), Err(Unknown::NoSubOps(_))), "{word}");
        }
    }

    #[test]
    fn what_is_left() {
        let all: Vec<Selector> = candidates(&[], &[]).collect();
        // Three are left out whole.
        assert_eq!(all.len(), CALLS.len() - 3);
        assert_eq!(left("", "kexec_op").split(',').count(), all.len() - 1);
        // One of its sub-ops is no reason to leave out the others.
        assert_eq!(left("", "kexec_op.0").split(',').count(), all.len());
        assert_eq!(left("kexec_op,20.5,20.6", "20.6"), "kexec_op,grant_table_op.copy");
        assert_eq!(left("grant_table_op.copy", "grant_table_op"), "");
        // Whoever names them.
        assert_eq!(left("sched_op.shutdown,iret,sched_op", ""), "sched_op");
        assert!(!Selector::of(29, 2).is_allowed(&[]));
        assert!(Selector::of(29, 0).is_allowed(&list("29.7")));
        assert!(!Selector::of(29, 7).is_allowed(&list("29.7")));
    }
}
