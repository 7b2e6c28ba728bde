//! The hypercall's bytes, compared with offsets written down from Xen's headers.

use xtf_livepatch::abi::{
    Action, ActionCmd, Call, Get, Held, In, List, ListReply, LivepatchStatus, Name, Op, Out,
    Refused, Revision, SysctlVersion, UNION_ROOM, Upload,
};

const XEN_4_13: SysctlVersion = SysctlVersion(0x12);
const XEN_4_17: SysctlVersion = SysctlVersion(0x15);
const XEN_4_21: SysctlVersion = SysctlVersion(0x16);

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn at(addr: u64) -> In<'static> {
    // SAFETY: no call of this file reaches a hypervisor.
    unsafe { In::from_raw(addr) }
}

fn out(addr: u64) -> Out<'static> {
    // SAFETY: no call of this file reaches a hypervisor.
    unsafe { Out::from_raw(addr) }
}

fn a_name() -> Name<'static> {
    Name { ptr: at(0x1122_3344_5566_7788), size: 0x99AA, pad: [1, 2, 3] }
}

fn assert_a_name(bytes: &[u8]) {
    assert_eq!(u64_at(bytes, 16), 0x1122_3344_5566_7788);
    assert_eq!(u16_at(bytes, 24), 0x99AA);
    assert_eq!([26, 28, 30].map(|o| u16_at(bytes, o)), [1, 2, 3]);
}

fn a_list() -> List<'static> {
    List {
        version: 1,
        idx: 2,
        nr: 3,
        pad: 4,
        name_total_size: 5,
        metadata_total_size: 6,
        status: out(7),
        name: out(8),
        len: out(9),
        metadata: out(10),
        metadata_len: out(11),
    }
}

#[test]
fn the_head_is_at_the_front() {
    let call = Call { cmd: 0xA1, flags: 0x8000_0001, ..Call::bare(SysctlVersion(0xB2), 0xC3) };
    let sysctl = call.encode(Revision::V2);
    let bytes = sysctl.bytes();
    assert_eq!([0, 4, 8, 12].map(|o| u32_at(bytes, o)), [0xA1, 0xB2, 0xC3, 0x8000_0001]);
    assert_eq!(bytes[16..], [0; UNION_ROOM]);
}

#[test]
fn constructors_state_27_and_their_sub_op() {
    let name = Name::new(b"x\0");
    let calls = [
        Call::upload(XEN_4_17, Upload::new(name, b"elf")),
        Call::get(XEN_4_17, name),
        Call::list(XEN_4_17, List::EMPTY),
        Call::action(XEN_4_17, Action::new(name, ActionCmd::Apply)),
    ];
    for (sub_op, call) in (0..).zip(calls) {
        let sysctl = call.encode(Revision::V2);
        let head = [0, 4, 8, 12].map(|o| u32_at(sysctl.bytes(), o));
        assert_eq!(head, [27, 0x15, sub_op, 0]);
    }
}

#[test]
fn a_name_is_its_bytes_and_their_count() {
    let bytes = b"name\0";
    let name = Name::new(bytes);
    assert_eq!(name.ptr.addr(), bytes.as_ptr() as u64);
    assert_eq!((name.size, name.pad), (5, [0; 3]));
    assert_eq!(Name::from(c"name").size, 5);
    assert_eq!(Name::new(&[b'x'; 70_000]).size, u16::MAX);
}

#[test]
fn upload_is_the_same_in_all_revisions() {
    let upload = Upload { name: a_name(), size: u64::MAX - 1, payload: at(0xFFFF_8000_0000_0000) };
    let call = Call::upload(XEN_4_17, upload);
    for revision in [Revision::V1, Revision::V2, Revision::V2Sized] {
        let sysctl = call.encode(revision);
        let bytes = sysctl.bytes();
        assert_a_name(bytes);
        assert_eq!(u64_at(bytes, 32), u64::MAX - 1);
        assert_eq!(u64_at(bytes, 40), 0xFFFF_8000_0000_0000);
        assert_eq!(bytes[48..], [0; 88]);
    }
}

#[test]
fn get_carries_a_status_both_ways() {
    let status = LivepatchStatus { state: 7, rc: -16 };
    let call = Call::get(XEN_4_17, Get { name: a_name(), status });
    let mut sysctl = call.encode(Revision::V1);
    assert_a_name(sysctl.bytes());
    assert_eq!(u32_at(sysctl.bytes(), 32), 7);
    assert_eq!(u32_at(sysctl.bytes(), 36), (-16i32) as u32);
    assert_eq!(sysctl.status(), status);

    sysctl.bytes_mut()[32] = 2;
    sysctl.bytes_mut()[36..40].fill(0xFF);
    assert_eq!(sysctl.status(), LivepatchStatus { state: 2, rc: -1 });
}

#[test]
fn list_before_4_14_has_neither_metadata_nor_sizes() {
    let sysctl = Call::list(XEN_4_13, a_list()).encode(Revision::V1);
    let bytes = sysctl.bytes();
    assert_eq!([16, 20, 24, 28].map(|o| u32_at(bytes, o)), [1, 2, 3, 4]);
    assert_eq!([32, 40, 48].map(|o| u64_at(bytes, o)), [7, 8, 9]);
    assert_eq!(bytes[56..], [0; 80]);
    assert_eq!(
        sysctl.list(Revision::V1),
        ListReply { version: 1, idx: 2, nr: 3, pad: 4, name_total_size: 0, metadata_total_size: 0 }
    );
}

#[test]
fn list_from_4_14_on_has_everything() {
    for revision in [Revision::V2, Revision::V2Sized] {
        let sysctl = Call::list(XEN_4_17, a_list()).encode(revision);
        let bytes = sysctl.bytes();
        assert_eq!([16, 20, 24, 28, 32, 36].map(|o| u32_at(bytes, o)), [1, 2, 3, 4, 5, 6]);
        assert_eq!([40, 48, 56, 64, 72].map(|o| u64_at(bytes, o)), [7, 8, 9, 10, 11]);
        assert_eq!(bytes[80..], [0; 56]);
        assert_eq!(
            sysctl.list(revision),
            ListReply {
                version: 1,
                idx: 2,
                nr: 3,
                pad: 4,
                name_total_size: 5,
                metadata_total_size: 6
            }
        );
    }
}

#[test]
fn action_has_flags_only_from_4_14_on() {
    let action = Action { name: a_name(), cmd: 1, timeout: 2, flags: 3, pad: 4 };
    let call = Call::action(XEN_4_17, action);
    let old = call.encode(Revision::V1);
    assert_a_name(old.bytes());
    assert_eq!([32, 36, 40, 44].map(|o| u32_at(old.bytes(), o)), [1, 2, 0, 0]);
    let new = call.encode(Revision::V2);
    assert_a_name(new.bytes());
    assert_eq!([32, 36, 40, 44].map(|o| u32_at(new.bytes(), o)), [1, 2, 3, 4]);
}

#[test]
fn a_raw_union_is_sent_as_it_is() {
    let raw: [u8; UNION_ROOM] = core::array::from_fn(|i| i as u8);
    let call = Call { op: Op::Raw(raw), ..Call::bare(XEN_4_17, 99) };
    assert_eq!(call.encode(Revision::V2).bytes()[16..], raw);
}

const THREE: Held = Held { payloads: 3, name_bytes: 30, metadata_bytes: 60 };

/// Lists into arrays of the given numbers of items and says whether that is let through.
fn check(
    version: SysctlVersion,
    nr: u32,
    [statuses, names, lengths, metadata, metadata_lengths]: [usize; 5],
) -> Result<(), Refused> {
    let revision = Revision::for_version(version).unwrap().revision;
    let mut status = vec![LivepatchStatus::default(); statuses];
    let mut name = vec![0u8; names];
    let mut len = vec![0u32; lengths];
    let mut text = vec![0u8; metadata];
    let mut text_len = vec![0u32; metadata_lengths];
    let call = Call::list(
        version,
        List {
            nr,
            name_total_size: names as u32,
            metadata_total_size: metadata as u32,
            status: Out::from_slice(&mut status),
            name: Out::from_slice(&mut name),
            len: Out::from_slice(&mut len),
            metadata: Out::from_slice(&mut text),
            metadata_len: Out::from_slice(&mut text_len),
            ..List::EMPTY
        },
    );
    call.encode(revision).check_writes(version, THREE)
}

fn field(result: Result<(), Refused>) -> &'static str {
    match result {
        Err(Refused::ListOverrun { field, .. }) => field,
        other => panic!("expected an overrun, got {other:?}"),
    }
}

#[test]
fn a_list_into_large_enough_arrays_is_let_through() {
    assert_eq!(check(XEN_4_17, 3, [3, 30, 3, 60, 3]), Ok(()));
    assert_eq!(check(XEN_4_17, 1025, [3, 30, 3, 60, 3]), Ok(()), "more is not loaded");
    assert_eq!(check(XEN_4_17, 0, [0, 0, 0, 0, 0]), Ok(()), "totals need no arrays");
    assert_eq!(check(XEN_4_13, 3, [3, 3 * 128, 3, 0, 0]), Ok(()));
    assert_eq!(check(XEN_4_21, 3, [3, 1, 3, 1, 3]), Ok(()), "Xen respects the sizes");
}

#[test]
fn a_list_that_could_overrun_an_array_is_refused() {
    assert_eq!(field(check(XEN_4_17, 3, [2, 30, 3, 60, 3])), "status");
    assert_eq!(field(check(XEN_4_17, 3, [3, 29, 3, 60, 3])), "name");
    assert_eq!(field(check(XEN_4_17, 3, [3, 30, 2, 60, 3])), "len");
    assert_eq!(field(check(XEN_4_17, 3, [3, 30, 3, 59, 3])), "metadata");
    assert_eq!(field(check(XEN_4_17, 3, [3, 30, 3, 60, 2])), "metadata_len");
    assert_eq!(field(check(XEN_4_13, 3, [3, 383, 3, 0, 0])), "name");
}

#[test]
fn null_arrays_are_let_through() {
    let call = Call::list(XEN_4_17, List { nr: 3, ..List::EMPTY });
    assert_eq!(call.encode(Revision::V2).check_writes(XEN_4_17, THREE), Ok(()));
}

#[test]
fn a_size_beyond_the_buffer_is_refused() {
    let mut name = [0u8; 4];
    let call = Call::list(
        XEN_4_21,
        List { nr: 3, name_total_size: 30, name: Out::from_slice(&mut name), ..List::EMPTY },
    );
    let got = call.encode(Revision::V2Sized).check_writes(XEN_4_21, THREE);
    assert_eq!(field(got), "name");
}

#[test]
fn read_only_memory_disguised_as_a_list_is_refused() {
    let payload = [0u8; 64];
    let upload = Upload { size: 1, ..Upload::new(Name::new(b"x\0"), &payload) };
    let call = Call { sub_op: 2, ..Call::upload(XEN_4_17, upload) };
    // LIST finds its `nr` in the name's size, and its `status` where the payload is.
    let sysctl = call.encode(Revision::V2);
    assert_eq!(field(sysctl.check_writes(XEN_4_17, THREE)), "status");
}

#[test]
fn another_sysctl_is_refused_unless_its_version_is() {
    let call = Call { cmd: 6, ..Call::list(XEN_4_17, List::EMPTY) };
    let sysctl = call.encode(Revision::V2);
    assert_eq!(sysctl.check_writes(XEN_4_17, THREE), Err(Refused::OtherSysctl(6)));
    assert_eq!(sysctl.check_writes(XEN_4_21, THREE), Ok(()), "Xen answers EACCES");
}

#[test]
fn a_broken_byte_counts_for_the_check() {
    let mut status = [LivepatchStatus::default(); 3];
    let call =
        Call::list(XEN_4_17, List { nr: 3, status: Out::from_slice(&mut status), ..List::EMPTY });
    let mut sysctl = call.encode(Revision::V2);
    assert_eq!(sysctl.check_writes(XEN_4_17, THREE), Ok(()));
    sysctl.bytes_mut()[40] ^= 8;
    assert_eq!(field(sysctl.check_writes(XEN_4_17, THREE)), "status");
}
