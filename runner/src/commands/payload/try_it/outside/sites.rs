//! Where payloads change Xen's code, and what Xen writes there (`arch_livepatch_apply`).

use std::collections::BTreeMap;
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use livepatch::change::Change;
use livepatch::model::KnownXen;
use livepatch::payload::code::{ENDBR64, ENDBR64_POISON};

use super::picture::{Picture, place, told};
use crate::base::hash::hex;
use crate::base::plural::count;
use crate::commands::payload::show::file::{Contents, Function};
use crate::commands::payload::show::verdict::Subject;
use crate::xen::symbols::KnownSymbols;

/// Bytes of a jump (`ARCH_PATCH_INSN_SIZE`).
const JUMP: u64 = 5;
/// The first of them.
const JUMP_OPCODE: u8 = 0xe9;
/// The hook that stands in for Xen: what it changes of the functions, nobody knows.
const APPLY: &str = "apply";

/// A function of Xen's that a payload changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the function begins.
    address: u64,
    /// Whose change it is.
    whose: String,
    /// So many bytes become NOPs; `None` if a jump is put there.
    nops: Option<u64>,
    /// Whether a hook decides that.
    hook: bool,
}

/// The sites in Xen itself of payloads with these `names` and `contents`, in the order in which they
/// come into effect.
pub fn of<'c>(
    names: &[String],
    contents: impl Iterator<Item = &'c Contents>,
    symbols: &KnownSymbols,
) -> Vec<Site> {
    let mut sites = Vec::new();
    for (name, contents) in names.iter().zip(contents) {
        for (number, function) in contents.functions.iter().enumerate() {
            // What is in another payload is not in Xen.
            let Some(address) = address(function, symbols) else { continue };
            let of = function.name.as_deref().unwrap_or("(no name)");
            sites.push(Site {
                address,
                whose: format!("{name}: function {number}, {of}"),
                nops: function.nops.then_some(function.new_size.into()),
                hook: contents.hooks.contains_key(APPLY),
            });
        }
    }
    sites
}

/// Where a function is, as `resolve_old_address` finds it.
fn address(function: &Function, symbols: &KnownSymbols) -> Option<u64> {
    let of_name = |name: &str| symbols.address(symbols.find(name.as_bytes())?);
    if let Some(symbol) = &function.old_symbol {
        // `name`, or `name+0x10`
        let (name, addend) = symbol.rsplit_once(['+', '-']).unwrap_or((symbol, "0x0"));
        let digits = addend.strip_prefix("0x").filter(|_| of_name(symbol).is_none());
        let Some(distance) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
            return of_name(symbol);
        };
        let start = of_name(name)?;
        let minus = symbol.as_bytes()[name.len()..].starts_with(b"-");
        return if minus { start.checked_sub(distance) } else { start.checked_add(distance) };
    }
    function.old_address.or_else(|| of_name(function.name.as_deref()?))
}

/// What a Xen writes to a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Instructions that it leaves at the beginning of a function, and writes behind.
    kept: Vec<[u8; 4]>,
    /// As many NOPs fewer are written behind such an instruction.
    fewer_nops: bool,
}

impl Written {
    /// By this Xen.
    pub fn by(xen: &Subject) -> Written {
        let poison = xen.has(Change::EndbrPoison).then_some(ENDBR64_POISON);
        let kept = if xen.has(Change::EndbrJump) {
            [Some(ENDBR64), poison].into_iter().flatten().collect()
        } else {
            Vec::new()
        };
        Written { kept, fewer_nops: xen.has(Change::EndbrNop) }
    }

    /// The bytes of `site` that it writes; `before` is how they were before the first upload.
    fn range(&self, site: &Site, before: &Picture) -> Range<u64> {
        let first = before.at(site.address, 4);
        let kept = self.kept.iter().any(|instruction| first == Some(instruction));
        let skip = if kept { 4 } else { 0 };
        let size = match site.nops {
            None => JUMP,
            Some(size) if self.fewer_nops => size.saturating_sub(skip),
            Some(size) => size,
        };
        let from = site.address + skip;
        from..from + size
    }
}

/// Whether `now` differs from `before` as the `sites` want it and in nothing else; says how many bytes
/// differ at how many places, or what is wrong.
pub fn check(
    before: &Picture,
    now: &Picture,
    sites: &[Site],
    written: &Written,
    symbols: &KnownSymbols,
) -> Result<String, String> {
    // Of two changes of the same place the later one is in effect.
    let mut in_effect: BTreeMap<u64, (&Site, Range<u64>)> = BTreeMap::new();
    for site in sites {
        let range = written.range(site, before);
        let shown = before.at(range.start, range.end - range.start).is_some();
        if shown && !range.is_empty() {
            in_effect.insert(site.address, (site, range));
        }
    }
    let mut faults = Vec::new();
    let mut changed = 0;
    let mut elsewhere = Vec::new();
    for address in before.differences(now) {
        if sites.iter().any(|site| written.range(site, before).contains(&address)) {
            changed += 1;
        } else {
            elsewhere.push(address);
        }
    }
    if !elsewhere.is_empty() {
        let told = told(&elsewhere, before, now, Some(symbols));
        faults.push(format!("Xen differs where no payload names a function, {told}"));
    }
    for (site, range) in in_effect.values().filter(|(site, _)| !site.hook) {
        let size = range.end - range.start;
        let bytes = now.at(range.start, size).unwrap_or_default();
        let expected = match site.nops {
            None if bytes.first() == Some(&JUMP_OPCODE) => continue,
            None => "a jump".to_owned(),
            Some(_) if are_nops(bytes) => continue,
            Some(_) => format!("{} of NOPs", count(bytes.len(), "byte")),
        };
        faults.push(format!(
            "{}: expected {expected} at {}, got {}",
            site.whose,
            place(range.start, Some(symbols)),
            hex(bytes)
        ));
    }
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let places = count(in_effect.len(), "place");
    Ok(format!(
        "{} of Xen differ, all of them in the jumps or NOPs at {places}",
        count(changed, "byte")
    ))
}

/// Whether they are NOPs, of any length.
fn are_nops(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
    while decoder.can_decode() {
        if decoder.decode().mnemonic() != Mnemonic::Nop {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::symbols::xen_build::{self, STRIDE, VIRTUAL};

    const XEN: [xen_build::Function<'_>; 3] = [
        ("plain", None, &[0x55, 0x48, 0x89, 0xe5, 0x5d, 0xc3, 0xcc, 0xcc]),
        ("tracked", None, &[0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2, 0xc3]),
        ("other", None, &[0xc3]),
    ];
    const PLAIN: u64 = VIRTUAL + STRIDE as u64;
    const TRACKED: u64 = PLAIN + STRIDE as u64;
    const NEW: Written = Written { kept: Vec::new(), fewer_nops: true };

    fn symbols() -> KnownSymbols {
        KnownSymbols::parse(xen_build::syms(1, &XEN)).unwrap()
    }

    /// What is in memory: Xen's own code, with changes.
    fn memory(changes: &[(u64, &[u8])]) -> Picture {
        let mut bytes = vec![0x90; 4 * STRIDE];
        for (number, (.., code)) in (1..).zip(XEN) {
            bytes[number * STRIDE..][..code.len()].copy_from_slice(code);
        }
        for (address, change) in changes {
            bytes[(address - VIRTUAL) as usize..][..change.len()].copy_from_slice(change);
        }
        Picture::new(VIRTUAL, bytes)
    }

    fn site(address: u64, nops: Option<u64>) -> Site {
        Site { address, whose: "lp: function 0, f".into(), nops, hook: false }
    }

    fn checked(
        sites: &[Site],
        written: &Written,
        changes: &[(u64, &[u8])],
    ) -> Result<String, String> {
        check(&memory(&[]), &memory(changes), sites, written, &symbols())
    }

    #[test]
    fn jumps_and_nops_and_nothing_else() {
        let sites = [site(PLAIN, None), site(TRACKED, Some(4))];
        let jump = [0xe9, 1, 2, 3, 4];
        let nops = [0x0f, 0x1f, 0x40, 0x00];
        let good = checked(&sites, &NEW, &[(PLAIN, &jump), (TRACKED, &nops)]);
        assert_eq!(
            good.unwrap(),
            "9 bytes of Xen differ, all of them in the jumps or NOPs at 2 places"
        );

        let left = checked(&sites, &NEW, &[(TRACKED, &nops)]).unwrap_err();
        assert_eq!(
            left,
            "lp: function 0, f: expected a jump at plain (0xffff82d040200040), got 554889e55d"
        );
        let odd = checked(&sites, &NEW, &[(PLAIN, &jump), (TRACKED, &[0x90, 0x90, 0xc3, 0x90])]);
        assert_eq!(
            odd.unwrap_err(),
            "lp: function 0, f: expected 4 bytes of NOPs at tracked (0xffff82d040200080), got 9090c390"
        );
        // One byte behind each of them.
        let more = [0x90, 0x90, 0x90, 0x90, 0x90];
        let more = checked(&sites, &NEW, &[(PLAIN, &[0xe9, 1, 2, 3, 4, 5]), (TRACKED, &more)]);
        assert_eq!(
            more.unwrap_err(),
            "Xen differs where no payload names a function, in 2 bytes: plain+0x5 \
             (0xffff82d040200045) was c3 and is 05"
        );
        assert_eq!(
            checked(&[], &NEW, &[]).unwrap(),
            "0 bytes of Xen differ, all of them in the jumps or NOPs at 0 places"
        );
    }

    #[test]
    fn what_begins_a_function_stays_where_xen_leaves_it() {
        let written = Written { kept: vec![ENDBR64], fewer_nops: true };
        let jump: [u8; 5] = [0xe9, 1, 2, 3, 4];
        let behind = [(TRACKED + 4, &jump[..])];
        let over = [(TRACKED, &jump[..])];
        let sites = [site(TRACKED, None)];
        assert!(checked(&sites, &written, &behind).is_ok());
        assert!(checked(&sites, &NEW, &over).is_ok());
        let why = checked(&sites, &written, &over).unwrap_err();
        assert!(why.contains("in 4 bytes: tracked (0x"), "{why}");
        assert!(why.contains("expected a jump at tracked+0x4 (0x"), "{why}");
        assert!(checked(&sites, &NEW, &behind).is_err());

        // Seven bytes are three NOPs behind it, or as many as there were.
        let sites = [site(TRACKED, Some(7))];
        let [few, many] = [3, 7].map(|count| vec![0x90; count]);
        let all = Written { fewer_nops: false, ..written.clone() };
        assert!(checked(&sites, &written, &[(TRACKED + 4, &few)]).is_ok());
        assert!(checked(&sites, &all, &[(TRACKED + 4, &many)]).is_ok());
        assert!(checked(&sites, &written, &[(TRACKED + 4, &many)]).is_err());
        assert!(checked(&sites, &all, &[(TRACKED + 4, &few)]).is_err());
        // Then nothing is left of them.
        assert!(checked(&[site(TRACKED, Some(3))], &written, &[]).is_ok());
    }

    #[test]
    fn the_last_change_of_a_place_is_in_effect() {
        let lower = site(PLAIN, Some(6));
        let upper = site(PLAIN, None);
        let jump: [u8; 6] = [0xe9, 1, 2, 3, 4, 0x90];
        assert!(checked(&[lower.clone(), upper.clone()], &NEW, &[(PLAIN, &jump)]).is_ok());
        let why = checked(&[upper, lower], &NEW, &[(PLAIN, &jump)]).unwrap_err();
        assert!(why.contains("expected 6 bytes of NOPs at plain"), "{why}");
        // A hook that applies its payload itself may do it or not.
        let hook = Site { hook: true, ..site(PLAIN, None) };
        for changes in [&[][..], &[(PLAIN, &jump[..5])]] {
            assert!(checked(std::slice::from_ref(&hook), &NEW, changes).is_ok());
        }
        // What belongs to another payload is not in Xen.
        assert!(checked(&[site(0x1000, None)], &NEW, &[]).is_ok());
    }

    #[test]
    fn where_functions_are() {
        let symbols = symbols();
        let place = |name: Option<&str>, old_symbol: Option<&str>, old_address| {
            let function = Function {
                name: name.map(str::to_owned),
                old_address,
                old_symbol: old_symbol.map(str::to_owned),
                old_size: 5,
                new_size: 5,
                nops: false,
                version: 2,
                expects: None,
            };
            address(&function, &symbols)
        };
        assert_eq!(place(Some("plain"), None, None), Some(PLAIN));
        assert_eq!(place(Some("plain"), None, Some(7)), Some(7));
        assert_eq!(place(Some("plain"), Some("tracked"), None), Some(TRACKED));
        assert_eq!(place(None, Some("tracked+0x10"), None), Some(TRACKED + 16));
        assert_eq!(place(None, Some("tracked-0x10"), None), Some(TRACKED - 16));
        assert_eq!(place(None, Some("tracked+16"), None), None);
        assert_eq!(place(Some("nobody"), None, None), None);
        assert_eq!(place(None, None, None), None);
    }
}
