//! The conditional branches of a function.

use crate::base::exit::{Error, Result};
use crate::xen::symbols::XenFunction;
use crate::xen::symbols::code::instructions;

/// A conditional branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// The function that it is in.
    pub function: &'a XenFunction,
    /// Where the instruction begins.
    pub address: u64,
    /// Physical address of the byte that holds its condition.
    pub opcode: u64,
}

impl Site<'_> {
    /// `function+offset`.
    pub fn name(&self) -> String {
        format!("{}+{:#x}", self.function.label, self.address - self.function.address)
    }
}

/// The conditional branches of `function`.
///
/// Only what is an instruction when one decodes from the function's start counts, so that no byte
/// of an operand is taken for a branch.
pub fn find(function: &XenFunction) -> Result<Vec<Site<'_>>> {
    let mut sites = Vec::new();
    for instruction in instructions(function)? {
        if instruction.is_jcc_short_or_near() {
            // Counted from the end, for the sake of prefixes: the opcode is right before the
            // distance, of which a short branch has one byte and a near one four.
            let from_end = if instruction.code().is_jcc_short() { 2 } else { 5 };
            let opcode = instruction.next_ip() - from_end - function.address + function.physical;
            sites.push(Site { function, address: instruction.ip(), opcode });
        }
    }
    Ok(sites)
}

/// The site that the user names by address or by FUNCTION+OFFSET.
pub fn by_name<'s, 'a>(sites: &'s [Site<'a>], wanted: &str) -> Result<&'s Site<'a>> {
    let address = wanted.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let found = sites.iter().find(|site| Some(site.address) == address || site.name() == wanted);
    found.ok_or_else(|| {
        Error::Usage(format!(
            "--only: there is no conditional branch at `{wanted}` in the chosen functions; see \
             --list"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_conditional_branches_are_sites() {
        let code = [
            &[0x74, 0x02][..],                     // 0: je
            &[0xb8, 0x74, 0x75, 0x0f, 0x84],       // 2: mov $0x840f7574,%eax: no branch in there
            &[0x0f, 0x8f, 0x00, 0x01, 0x00, 0x00], // 7: jg, near
            &[0xeb, 0x00],                         // 13: jmp
            &[0xe3, 0x00],                         // 15: jrcxz: its opcode has no inverse
            &[0x3e, 0x7d, 0xf0],                   // 17: jge with a prefix
            &[0x0f, 0x94, 0xc0],                   // 20: sete
            &[0xc3],
        ]
        .concat();
        let function = XenFunction::sample("f", None, 0x2000, &code);
        let sites = find(&function).unwrap();
        let places: Vec<_> = sites.iter().map(|s| (s.name(), s.address, s.opcode)).collect();
        assert_eq!(
            places,
            [
                ("f+0x0".into(), 0x2000, 0x1000),
                ("f+0x7".into(), 0x2007, 0x1008),
                ("f+0x11".into(), 0x2011, 0x1012),
            ]
        );
        assert_eq!(by_name(&sites, "f+0x7").unwrap().address, 0x2007);
        assert_eq!(by_name(&sites, "0x2007").unwrap().address, 0x2007);
        assert!(by_name(&sites, "0x2008").unwrap_err().to_string().contains("--list"));
    }

    #[test]
    fn branches_around_a_udb_are_sites() {
        let code = [
            &[0x74, 0x01][..],                     // 0: je
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
        ]
        .concat();
        let function = XenFunction::sample("f", None, 0x2000, &code);
        let sites = find(&function).unwrap();
        let places = sites.iter().map(|site| (site.address - 0x2000, site.opcode - 0x1000));
        assert!(places.eq([(0, 0), (3, 3), (6, 7), (0xb, 0xc), (0x19, 0x19)]));
    }
}
