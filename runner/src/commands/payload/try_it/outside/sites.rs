//! Where payloads change Xen's code, and what Xen writes there (`arch_livepatch_apply`).

use std::collections::BTreeMap;
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use livepatch::change::Change;
use livepatch::payload::code::{ENDBR64, ENDBR64_POISON};

use super::code::{self, NewCode};
use super::picture::{Picture, place, told};
use crate::base::hash::hex;
use crate::base::plural::count;
use crate::commands::payload::show::file::Contents;
use crate::commands::payload::show::verdict::{Subject, address};
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
    /// What the jump must lead to, if that is known.
    new: Option<NewCode>,
    /// Whether a hook decides that.
    hook: bool,
}

/// What is at the ends of jumps, by its address and size; `None` where nothing is mapped.
pub type Codes = BTreeMap<(u64, u64), Option<Vec<u8>>>;

/// The sites in Xen itself of payloads with these `names`, in the order in which they come into
/// effect.
pub fn of(names: &[String], files: &[(Vec<u8>, Contents)], symbols: &KnownSymbols) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    for (name, (bytes, contents)) in names.iter().zip(files) {
        let mut codes = NewCode::of(bytes, contents.functions.len()).into_iter();
        for (number, function) in contents.functions.iter().enumerate() {
            let new = codes.next().flatten();
            let Some(address) = address(function, symbols) else {
                // It is in a payload below, whose code is then not as its file has it.
                sites.iter_mut().for_each(|site| site.new = None);
                continue;
            };
            let of = function.name.as_deref().unwrap_or("(no name)");
            sites.push(Site {
                address,
                whose: format!("{name}: function {number}, {of}"),
                nops: function.nops.then_some(function.new_size.into()),
                new,
                hook: contents.hooks.contains_key(APPLY),
            });
        }
    }
    sites
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
        let from = site.address.saturating_add(skip);
        from..from.saturating_add(size)
    }
}

/// The sites that are in effect, and the bytes of each that Xen writes, by the functions' addresses:
/// of two changes of the same function the later one.
fn in_effect<'s>(
    sites: &'s [Site],
    written: &Written,
    before: &Picture,
) -> BTreeMap<u64, (&'s Site, Range<u64>)> {
    let shown = sites.iter().filter_map(|site| {
        let range = written.range(site, before);
        let shown = before.at(range.start, range.end - range.start).is_some();
        (shown && !range.is_empty()).then_some((site.address, (site, range)))
    });
    shown.collect()
}

/// Where the jump at `address` leads, if there is one.
fn target(now: &Picture, address: u64) -> Option<u64> {
    let [JUMP_OPCODE, a, b, c, d] = *now.at(address, JUMP)? else { return None };
    let distance = i32::from_le_bytes([a, b, c, d]).into();
    Some((address + JUMP).wrapping_add_signed(distance))
}

/// Where the jumps that are in effect lead, and how much of the code there is known.
pub fn targets(
    before: &Picture,
    now: &Picture,
    sites: &[Site],
    written: &Written,
) -> Vec<(u64, u64)> {
    let all = in_effect(sites, written, before).into_values();
    let jumps = all.filter(|(site, _)| site.nops.is_none());
    let known = jumps
        .filter_map(|(site, range)| Some((target(now, range.start)?, site.new.as_ref()?.size())));
    known.collect()
}

/// Whether `now` differs from `before` as the `sites` want it and in nothing else, and whether the
/// jumps lead to `codes` as they should; says how many bytes differ at how many places, or what is
/// wrong.
pub fn check(
    before: &Picture,
    now: &Picture,
    sites: &[Site],
    written: &Written,
    codes: &Codes,
    symbols: &KnownSymbols,
) -> Result<String, String> {
    let in_effect = in_effect(sites, written, before);
    let mut faults = Vec::new();
    let (mut changed, mut followed) = (0, 0);
    let mut elsewhere = Vec::new();
    for address in before.differences(now) {
        // Of more NOPs than a later jump takes, some are left.
        if sites.iter().any(|site| written.range(site, before).contains(&address)) {
            changed += 1;
        } else {
            elsewhere.push(address);
        }
    }
    if !elsewhere.is_empty() {
        let told = told(&elsewhere, before, now, symbols);
        faults.push(format!("Xen differs where no payload names a function, {told}"));
    }
    for (site, range) in in_effect.values().filter(|(site, _)| !site.hook) {
        let bytes = now.at(range.start, range.end - range.start).unwrap_or_default();
        let wrong = match (site.nops, target(now, range.start)) {
            (None, Some(target)) => {
                let new = site.new.as_ref();
                let known = new.and_then(|new| Some((new, codes.get(&(target, new.size()))?)));
                followed += usize::from(known.is_some());
                known.and_then(|(new, found)| leads_elsewhere(new, found.as_deref(), target))
            }
            (None, None) => Some(format!("expected a jump, got {}", hex(bytes))),
            (Some(_), _) if are_nops(bytes) => None,
            (Some(_), _) => {
                let expected = count(bytes.len(), "byte");
                Some(format!("expected {expected} of NOPs, got {}", hex(bytes)))
            }
        };
        if let Some(wrong) = wrong {
            let place = place(range.start, symbols);
            faults.push(format!("{}, at {place}: {wrong}", site.whose));
        }
    }
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let (bytes, places) = (count(changed, "byte"), count(in_effect.len(), "place"));
    let followed = count(followed, "jump");
    Ok(format!(
        "Xen differs in {bytes}, all of them in the jumps or NOPs at {places}; followed to the files' \
         code: {followed}"
    ))
}

/// What is wrong with a jump to `target`, where this was `found`, if it must lead to `new`.
fn leads_elsewhere(new: &NewCode, found: Option<&[u8]>, target: u64) -> Option<String> {
    match found {
        Some(bytes) if new.fits(bytes) => None,
        Some(bytes) => Some(format!(
            "the jump leads to {target:#x}, where expected {new}, got {}",
            code::shown(bytes)
        )),
        None => Some(format!("the jump leads to {target:#x}, where nothing is mapped")),
    }
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
    use crate::xen::symbols::BootXen;
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
        BootXen::parse(xen_build::boot(1, &XEN)).and_then(KnownSymbols::of).unwrap()
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
        Site { address, whose: "lp: function 0, f".into(), nops, new: None, hook: false }
    }

    fn checked(
        sites: &[Site],
        written: &Written,
        changes: &[(u64, &[u8])],
    ) -> Result<String, String> {
        check(&memory(&[]), &memory(changes), sites, written, &Codes::new(), &symbols())
    }

    #[test]
    fn jumps_and_nops_and_nothing_else() {
        let sites = [site(PLAIN, None), site(TRACKED, Some(4))];
        let jump = [0xe9, 1, 2, 3, 4];
        let nops = [0x0f, 0x1f, 0x40, 0x00];
        let good = checked(&sites, &NEW, &[(PLAIN, &jump), (TRACKED, &nops)]);
        assert_eq!(
            good.unwrap(),
            "Xen differs in 9 bytes, all of them in the jumps or NOPs at 2 places; followed to the files' code: 0 jumps"
        );

        let left = checked(&sites, &NEW, &[(TRACKED, &nops)]).unwrap_err();
        assert_eq!(
            left,
            "lp: function 0, f, at plain (0xffff82d040200040): expected a jump, got 554889e55d"
        );
        let odd = checked(&sites, &NEW, &[(PLAIN, &jump), (TRACKED, &[0x90, 0x90, 0xc3, 0x90])]);
        assert_eq!(
            odd.unwrap_err(),
            "lp: function 0, f, at tracked (0xffff82d040200080): expected 4 bytes of NOPs, got 9090c390"
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
            "Xen differs in 0 bytes, all of them in the jumps or NOPs at 0 places; followed to the files' code: 0 jumps"
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
        assert!(why.contains(", at tracked+0x4 (0xffff82d040200084): expected a jump"), "{why}");
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
        assert!(why.contains("at plain (0xffff82d040200040): expected 6 bytes of NOPs"), "{why}");
        // A hook that applies its payload itself may do it or not.
        let hook = Site { hook: true, ..site(PLAIN, None) };
        for changes in [&[][..], &[(PLAIN, &jump[..5])]] {
            assert!(checked(std::slice::from_ref(&hook), &NEW, changes).is_ok());
        }
        // What belongs to another payload is not in Xen.
        assert!(checked(&[site(0x1000, None)], &NEW, &[]).is_ok());
    }

    #[test]
    fn jumps_lead_to_the_files_code() {
        let new = code::shown(&[0xb8, 1, 0, 0, 0, 0xc3]);
        let sites = [Site { new: Some(new), ..site(PLAIN, None) }];
        let jump = memory(&[(PLAIN, &[0xe9, 0xfb, 0x0f, 0, 0])]);
        let end = PLAIN + 0x1000;
        assert_eq!(targets(&memory(&[]), &jump, &sites, &NEW), [(end, 6)]);
        assert_eq!(targets(&memory(&[]), &memory(&[]), &sites, &NEW), []);
        let checked = |found: Option<&[u8]>| {
            let codes = Codes::from([((end, 6), found.map(<[u8]>::to_vec))]);
            check(&memory(&[]), &jump, &sites, &NEW, &codes, &symbols())
        };
        assert!(checked(Some(&[0xb8, 1, 0, 0, 0, 0xc3])).is_ok());
        assert_eq!(
            checked(Some(&[0xb8, 2, 0, 0, 0, 0xc3])).unwrap_err(),
            "lp: function 0, f, at plain (0xffff82d040200040): the jump leads to \
             0xffff82d040201040, where expected b801000000c3, got b802000000c3"
        );
        assert!(checked(None).unwrap_err().ends_with("where nothing is mapped"));
    }

    #[test]
    fn where_functions_are() {
        use crate::commands::payload::show::file::Function;

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
