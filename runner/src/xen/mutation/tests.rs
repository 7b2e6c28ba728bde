//! On code that was assembled by hand.

use super::*;
use crate::xen::symbols::XenSyms;

/// Functions follow each other so far apart, from here on.
const FIRST: u64 = 0x2000;
const APART: u64 = 0x100;

/// Each mutant of the first of `functions`: where it is, what is changed, and to which bytes; and
/// with a `=` behind it if it is equivalent.
fn told(operator: Operator, functions: &[&[&[u8]]]) -> Vec<String> {
    let addresses = (FIRST..).step_by(APART as usize);
    let function =
        |(code, address): (&&[&[u8]], u64)| XenFunction::sample("f", None, address, &code.concat());
    let functions: Vec<XenFunction> = functions.iter().zip(addresses).map(function).collect();
    let symbols = XenSyms { build_id: Vec::new(), functions, names: Vec::new() };
    let all = of(&symbols.functions[0], &[operator], &Flow::of(&symbols)).unwrap();
    let tell = |(place, mutation): (Range<usize>, Mutation)| {
        let Mutation { change, skip, bytes, equivalent, .. } = mutation;
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mark = if equivalent.is_some() { " =" } else { "" };
        format!("{:x}+{skip}{change} {bytes}{mark}", place.start)
    };
    all.into_iter().map(tell).collect()
}

/// A call from the first function, at `at`, of the one with that number.
fn call(at: u8, number: u8) -> [u8; 5] {
    let distance = u32::from(number) * APART as u32 - u32::from(at) - 5;
    let [a, b, c, d] = distance.to_le_bytes();
    [0xe8, a, b, c, d]
}

#[test]
fn only_real_conditional_branches_are_inverted() {
    let code: &[&[u8]] = &[
        &[0x74, 0x02],                         // 0: je
        &[0xb8, 0x74, 0x75, 0x0f, 0x84],       // 2: mov $0x840f7574,%eax: no branch in there
        &[0x0f, 0x8f, 0x00, 0x01, 0x00, 0x00], // 7: jg, near
        &[0xeb, 0x00],                         // d: jmp
        &[0xe3, 0x00],                         // f: jrcxz: its opcode has no inverse
        &[0x3e, 0x7d, 0xf0],                   // 11: jge with a prefix
        &[0x0f, 0x94, 0xc0],                   // 14: sete
        &[0xc3],
    ];
    assert_eq!(told(Operator::Branch, &[code]), ["0+0 75", "7+1 8e", "11+1 7c"]);
}

#[test]
fn branches_around_a_udb_are_inverted() {
    let code: &[&[u8]] = &[
        &[0x74, 0x01],                         // 0: je
        &[0xd6],                               // 2: udb
        &[0x75, 0xfb],                         // 3: jne
        &[0xd6],                               // 5: udb
        &[0x2e, 0x7d, 0xf7],                   // 6: jge with a prefix
        &[0x66, 0xd6],                         // 9: udb with one
        &[0x0f, 0x84, 0xef, 0xff, 0xff, 0xff], // b: je, near
        &[0xd6],                               // 11: udb
        &[0x48, 0xc7, 0xc0, 0x74, 0x75, 0, 0], // 12: mov $0x7574,%rax: no branch in there
        &[0x72, 0xe5],                         // 19: jb
        &[0xd6],                               // 1b: udb
    ];
    let expected = ["0+0 75", "3+0 74", "6+1 7c", "b+1 85", "19+0 73"];
    assert_eq!(told(Operator::Branch, &[code]), expected);
}

#[test]
fn conditions_become_their_opposite() {
    let code: &[&[u8]] = &[
        &[0x0f, 0x94, 0xc0],                   // 0: sete %al
        &[0x41, 0x0f, 0x95, 0x44, 0x24, 0x18], // 3: setne 0x18(%r12)
        &[0x48, 0x0f, 0x44, 0xd0],             // 9: cmove %rax,%rdx
        &[0x66, 0x0f, 0x4f, 0xc1],             // d: cmovg %cx,%ax
        &[0x19, 0xc0],                         // 11: sbb %eax,%eax: no opposite
        &[0x0f, 0x1f, 0x40, 0x00],             // 13: nop
        &[0x74, 0x00],                         // 17: je: another operator's
        &[0xc3],
    ];
    assert_eq!(told(Operator::Condition, &[code]), ["0+1 95", "3+2 94", "9+2 45", "d+2 4e"]);
}

#[test]
fn immediates_become_their_neighbours() {
    let code: &[&[u8]] = &[
        &[0x3c, 0x80],                                     // 0: cmp $0x80,%al
        &[0x77, 0x00],                                     // 2: ja
        &[0x66, 0x83, 0xf8, 0x7f],                         // 4: cmp $0x7f,%ax: no room for 128
        &[0x77, 0x00],                                     // 8
        &[0x83, 0xf8, 0x80],                               // a: cmp $-128,%eax: none for -129
        &[0x77, 0x00],                                     // d
        &[0x48, 0x81, 0x7f, 0x08, 0xff, 0xff, 0x00, 0x00], // f: cmpq $0xffff,8(%rdi)
        &[0x77, 0x00],                                     // 17
        &[0x48, 0x3d, 0xff, 0xff, 0xff, 0x7f],             // 19: cmp $0x7fffffff,%rax
        &[0x77, 0x00],                                     // 1f
        &[0x3d, 0xff, 0xff, 0xff, 0xff],                   // 21: cmp $-1,%eax, which wraps
        &[0x77, 0x00],                                     // 26
        &[0x38, 0xc8],                                     // 28: cmp %cl,%al
        &[0x2c, 0x01],                                     // 2a: sub $1,%al
        &[0xa8, 0x01],                                     // 2c: test $1,%al
        &[0xc3],
    ];
    let expected = [
        "0+1:-1 7f",
        "0+1:+1 81",
        "4+3:-1 7e",
        "a+2:+1 81",
        "f+4:-1 feff0000",
        "f+4:+1 00000100",
        "19+2:-1 feffff7f",
        "21+1:-1 feffffff",
        "21+1:+1 00000000",
    ];
    assert_eq!(told(Operator::Immediate, &[code]), expected);
}

#[test]
fn comparisons_that_nobody_or_only_is_err_reads_are_equivalent() {
    let errors = [0x48, 0x81, 0xf8, 0x00, 0xf0, 0xff, 0xff]; // cmp $-4096,%rax
    let mutants = |mark: &str| [format!("0+3:-1 ffefffff{mark}"), format!("0+3:+1 01f0ffff{mark}")];
    for (behind, mark) in [
        (&[0x77, 0x00, 0xc3][..], " ="),       // ja
        (&[0x0f, 0x96, 0xc0, 0xc3], " ="),     // setbe
        (&[0x19, 0xc0, 0xc3], " ="),           // sbb reads the carry
        (&[0x74, 0x00, 0xc3], ""),             // je
        (&[0x77, 0x00, 0x74, 0x00, 0xc3], ""), // je behind the ja
        (&[0xff, 0xe0], ""),                   // jmp *%rax, to nobody knows what
        (&[0x9c, 0xc3], ""),                   // pushf
        (&[0x90, 0xc3], " ="),                 // nobody
    ] {
        assert_eq!(told(Operator::Immediate, &[&[&errors, behind]]), mutants(mark), "{behind:x?}");
    }
    // INC leaves the carry as it was.
    for (behind, mark) in [(&[0x72, 0x00][..], ""), (&[0x74, 0x00], " =")] {
        let code: &[&[u8]] = &[&[0x3c, 0x01], &[0xff, 0xc0], behind, &[0xc3]];
        let expected = [format!("0+1:-1 00{mark}"), format!("0+1:+1 02{mark}")];
        assert_eq!(told(Operator::Immediate, &[code]), expected);
    }
}

#[test]
fn bits_at_the_edges_of_masks_are_flipped() {
    let code: &[&[u8]] = &[
        &[0xa8, 0x04],                         // 0: test $4,%al
        &[0x74, 0x00],                         // 2
        &[0xa9, 0xf3, 0x00, 0x00, 0x00],       // 4: test $0xf3,%eax
        &[0x74, 0x00],                         // 9
        &[0xf6, 0x47, 0x08, 0xff],             // b: testb $0xff,8(%rdi)
        &[0x74, 0x00],                         // f
        &[0x83, 0x27, 0xfe],                   // 11: andl $-2,(%rdi): bit 7 is not alone
        &[0x48, 0x25, 0x00, 0xf0, 0xff, 0xff], // 14: and $-4096,%rax
        &[0x48, 0x83, 0xe4, 0xf0],             // 1a: and $-16,%rsp: no mask
        &[0x84, 0xc0],                         // 1e: test %al,%al
        &[0xc3],
    ];
    let expected = [
        "0+1:bit0 05",
        "0+1:bit2 00",
        "4+1:bit0 f2000000",
        "4+1:bit1 f1000000",
        "4+1:bit2 f7000000",
        "4+1:bit4 e3000000",
        "4+1:bit7 73000000",
        "b+3:bit0 fe",
        "b+3:bit7 7f",
        "11+2:bit0 ff",
        "11+2:bit1 fc",
        "14+2:bit0 01f0ffff",
        "14+2:bit12 00e0ffff",
    ];
    assert_eq!(told(Operator::Mask, &[code]), expected);
}

#[test]
fn a_flip_in_a_bit_that_nobody_reads_is_equivalent() {
    for (behind, bits) in [
        (&[0xc3][..], [false, false, false]),      // RAX is the result
        (&[0x31, 0xc0, 0xc3], [true, true, true]), // xor %eax,%eax
        (&[0xc1, 0xe8, 0x0c, 0xc3], [true, false, false]), // shr $12
        (&[0xc1, 0xe8, 0x0d, 0xc3], [true, true, false]), // shr $13
        (&[0x88, 0x07, 0x31, 0xc0, 0xc3], [false, true, true]), // mov %al,(%rdi)
        (&[0xb4, 0x00, 0x0f, 0xb7, 0xc0, 0xc3], [false, true, true]), // mov $0,%ah; movzwl %ax
        (&[0x74, 0x02, 0x31, 0xc0, 0xc3], [false, false, false]), // je reads the flags
        (&[0x85, 0xc9, 0x74, 0x01, 0xc3, 0x31, 0xc0, 0xc3], [false, false, false]), // one way does
    ] {
        // and $0xf000,%eax
        let code: &[&[u8]] = &[&[0x25, 0x00, 0xf0, 0x00, 0x00], behind];
        let mark = |index: usize| if bits[index] { " =" } else { "" };
        let expected = [
            format!("0+1:bit0 01f00000{}", mark(0)),
            format!("0+1:bit12 00e00000{}", mark(1)),
            format!("0+1:bit15 00700000{}", mark(2)),
        ];
        assert_eq!(told(Operator::Mask, &[code]), expected, "{behind:x?}");
    }
}

/// A function that does something.
const WORK: &[&[u8]] = &[&[0xff, 0x07, 0xc3]]; // incl (%rdi); ret
/// One that has no end.
const NEVER: &[&[u8]] = &[&[0xf4, 0xeb, 0xfd]]; // hlt; jmp

#[test]
fn a_call_is_removed_where_nobody_reads_its_result() {
    let first = call(0, 1);
    for (behind, removed) in [
        (&[0x31, 0xc0, 0xc3][..], true),                // xor %eax,%eax; ret
        (&[0xb8, 0, 0, 0, 0, 0xc3], true),              // mov $0,%eax; ret
        (&[0xc3], false),                               // the caller may read it
        (&[0x85, 0xc0, 0xc3], false),                   // test %eax,%eax
        (&[0xb0, 0x01, 0xc3], false),                   // mov $1,%al: the rest stays
        (&[0x89, 0xd0, 0xc3], false),                   // mov %edx,%eax
        (&[0x75, 0x03, 0x31, 0xc0, 0xc3, 0xc3], false), // on one way of two
        (&[0xff, 0xe1], false),                         // jmp *%rcx
        (&[0xff, 0xd0, 0x31, 0xc0, 0xc3], false),       // call *%rax
        (&[0xff, 0xd1, 0xc3], true),                    // call *%rcx, whose result is another
        (&[0x0f, 0x0b, 0x31, 0xc0, 0xc3], true),        // a WARN
    ] {
        let expected: &[&str] = if removed { &["0+0 0f1f440000"] } else { &[] };
        let found = told(Operator::Call, &[&[&first, behind], WORK]);
        let found: Vec<&str> =
            found.iter().map(String::as_str).filter(|m| m.starts_with("0+")).collect();
        assert_eq!(found, expected, "{behind:x?}");
    }
}

#[test]
fn what_the_next_function_takes_is_read() {
    // call 1; call 2; xor %eax,%eax; ret
    let code: &[&[u8]] = &[&call(0, 1), &call(5, 2), &[0x31, 0xc0, 0xc3]];
    for (second, first_is_removed) in [
        (&[0x31, 0xc0, 0xff, 0x07, 0xc3][..], true), // xor %eax,%eax; incl (%rdi); ret
        (&[0x89, 0x07, 0x31, 0xc0, 0xc3], false),    // mov %eax,(%rdi)
        (&[0x89, 0x17, 0x31, 0xc0, 0xc3], false),    // mov %edx,(%rdi)
        // A thunk: call 1f; int3; 1: mov %rax,(%rsp); ret.
        (&[0xe8, 1, 0, 0, 0, 0xcc, 0x48, 0x89, 0x04, 0x24, 0xc3], false),
    ] {
        let found = told(Operator::Call, &[code, WORK, &[second]]);
        let expected: &[&str] = if first_is_removed {
            &["0+0 0f1f440000", "5+0 0f1f440000"]
        } else {
            &["5+0 0f1f440000"]
        };
        assert_eq!(found, expected, "{second:x?}");
    }
}

#[test]
fn some_calls_stay_and_some_do_nothing() {
    let clear = [0x31, 0xc0, 0xc3];
    let one = |callee: &[&[u8]]| told(Operator::Call, &[&[&call(0, 1), &clear], callee]);
    assert_eq!(one(NEVER), [""; 0]);
    assert_eq!(one(&[&[0xc3]]), ["0+0 0f1f440000 ="]);
    assert_eq!(one(&[&[0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xc0, 0xc3]]), ["0+0 0f1f440000 ="]);
    // jmp 1f; int3; 1: ret
    assert_eq!(one(&[&[0xeb, 0x01, 0xcc, 0xc3]]), ["0+0 0f1f440000 ="]);
    assert_eq!(one(&[&[0x31, 0xdb, 0xc3]]), ["0+0 0f1f440000"], "RBX is the caller's");
    // Into the midst of a function, and to no function at all.
    assert_eq!(told(Operator::Call, &[&[&[0xe8, 1, 1, 0, 0], &clear], WORK]), [""; 0]);
    assert_eq!(told(Operator::Call, &[&[&[0xe8, 0, 9, 0, 0], &clear], WORK]), [""; 0]);
    // Indirect ones, of two bytes and of eight.
    for (code, nop) in [
        (&[0xff, 0xd1][..], "6690"),
        (&[0x41, 0xff, 0x94, 0x24, 0x10, 0, 0, 0], "0f1f840000000000"),
    ] {
        assert_eq!(told(Operator::Call, &[&[code, &clear]]), [format!("0+0 {nop}")]);
    }
}

/// What is written is an instruction of the same size.
#[test]
fn each_nop_is_one_instruction() {
    for (size, nop) in (1..).zip(call::NOPS) {
        let function = XenFunction::sample("f", None, FIRST, nop);
        let decoded = instructions(&function).unwrap();
        assert_eq!((decoded.len(), decoded[0].len(), nop.len()), (1, size, size));
    }
}
