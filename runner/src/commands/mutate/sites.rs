//! The mutants of a campaign: which instruction of which function is broken, and how.

use iced_x86::{Decoder, DecoderOptions, Instruction};
use serde::{Deserialize, Serialize};

use crate::base::exit::{Error, Result};
use crate::xen::mutation::{self, Change, Flow, Mutation, Operator};
use crate::xen::symbols::XenFunction;

/// A way to break an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// The function that it is in.
    pub function: &'a XenFunction,
    /// Where the instruction begins.
    pub address: u64,
    /// Its bytes.
    pub code: &'a [u8],
    /// What becomes of it.
    pub mutation: Mutation,
}

/// What tells a mutant from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Id {
    /// Address of the instruction; as text, for it exceeds JSON's numbers.
    #[serde(with = "hex")]
    pub address: u64,
    /// What is changed. A journal without it is of a time when only branches were inverted.
    #[serde(default)]
    pub change: Change,
}

impl Site<'_> {
    /// `function+offset`, and behind it what is changed, if that may be several things.
    pub fn name(&self) -> String {
        format!("{}{}", self.place(), self.mutation.change)
    }

    /// `function+offset`.
    fn place(&self) -> String {
        format!("{}+{:#x}", self.function.label, self.address - self.function.address)
    }

    /// See [`Id`].
    pub fn id(&self) -> Id {
        Id { address: self.address, change: self.mutation.change }
    }

    /// Physical address of the first byte that changes.
    pub fn physical(&self) -> u64 {
        self.address - self.function.address + self.mutation.skip as u64 + self.function.physical
    }

    /// Whether it is run: nobody can tell an equivalent one from Xen itself.
    pub fn counts(&self) -> bool {
        self.mutation.equivalent.is_none()
    }

    /// The instruction.
    pub fn whole(&self) -> Instruction {
        self.decode(self.code)
    }

    /// What is there in the mutant.
    pub fn broken(&self) -> Instruction {
        let Mutation { skip, bytes, .. } = &self.mutation;
        let mut code = self.code.to_vec();
        code[*skip..][..bytes.len()].copy_from_slice(bytes);
        self.decode(&code)
    }

    fn decode(&self, code: &[u8]) -> Instruction {
        Decoder::with_ip(64, code, self.address, DecoderOptions::NONE).decode()
    }
}

/// The sites of `function` for `operators`, by address.
pub fn find<'a>(
    function: &'a XenFunction,
    operators: &[Operator],
    flow: &Flow<'_>,
) -> Result<Vec<Site<'a>>> {
    let mut sites = Vec::new();
    for (range, mutation) in mutation::of(function, operators, flow)? {
        let address = function.address + range.start as u64;
        sites.push(Site { function, address, code: &function.code[range], mutation });
    }
    Ok(sites)
}

/// The site that the user names by address or by FUNCTION+OFFSET, with what is changed behind it
/// where there are several.
pub fn by_name<'s, 'a>(sites: &'s [Site<'a>], wanted: &str) -> Result<&'s Site<'a>> {
    let (place, _) = wanted.split_once(':').unwrap_or((wanted, ""));
    let address = place.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let there = |site: &&Site<'_>| Some(site.address) == address || site.place() == place;
    let found: Vec<&Site<'_>> = sites.iter().filter(there).collect();
    let is_wanted = |site: &&&Site<'_>| {
        wanted[place.len()..] == site.mutation.change.to_string()
            || wanted == place && found.len() == 1
    };
    if let Some(site) = found.iter().find(is_wanted) {
        return Ok(site);
    }
    let names: Vec<String> = found.iter().map(|site| site.name()).collect();
    Err(Error::Usage(if found.is_empty() {
        format!("--only: there is no site at `{wanted}` in the chosen functions; see --list")
    } else {
        format!("--only: `{wanted}` is no single mutant; those there are {}", names.join(", "))
    }))
}

mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(address: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{address:#x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
        let text = String::deserialize(input)?;
        let digits = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        digits.ok_or_else(|| D::Error::custom(format!("`{text}` is no hexadecimal address")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::symbols::XenSyms;

    #[test]
    fn a_mutant_is_named_by_its_place_and_its_change() {
        let code = [
            &[0x74, 0x02][..], // 0: je
            &[0x3c, 0x80],     // 2: cmp $0x80,%al
            &[0xa8, 0x05],     // 4: test $5,%al
            &[0x75, 0xfe],     // 6: jne
            &[0xc3],
        ]
        .concat();
        let function = XenFunction::sample("f", None, 0x2000, &code);
        let symbols =
            XenSyms { build_id: Vec::new(), functions: vec![function.clone()], names: Vec::new() };
        let sites = find(&function, &Operator::ALL, &Flow::of(&symbols)).unwrap();
        let names: Vec<String> = sites.iter().map(Site::name).collect();
        assert_eq!(
            names,
            ["f+0x0", "f+0x2:-1", "f+0x2:+1", "f+0x4:bit0", "f+0x4:bit1", "f+0x4:bit2", "f+0x6"]
        );
        for (wanted, name) in [
            ("f+0x0", "f+0x0"),
            ("0x2000", "f+0x0"),
            ("f+0x2:+1", "f+0x2:+1"),
            ("0x2002:-1", "f+0x2:-1"),
            ("f+0x4:bit1", "f+0x4:bit1"),
        ] {
            assert_eq!(by_name(&sites, wanted).unwrap().name(), name);
        }
        for (wanted, why) in [
            ("0x2001", "no site at `0x2001`"),
            ("f+0x1:+1", "see --list"),
            ("f+0x2", "those there are f+0x2:-1, f+0x2:+1"),
            ("f+0x0:+1", "those there are f+0x0"),
            ("f+0x4:bit7", "no single mutant"),
        ] {
            let error = by_name(&sites, wanted).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        // The physical address is that of the byte that changes.
        let places: Vec<u64> = sites.iter().map(Site::physical).collect();
        assert_eq!(places, [0x1000, 0x1003, 0x1003, 0x1005, 0x1005, 0x1005, 0x1006]);
    }
}
