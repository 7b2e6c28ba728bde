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
        return Some(if minus { start - distance } else { start + distance });
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
        let told = told(&elsewhere, before, now, symbols);
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
            place(range.start, symbols),
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
