//! Tables of instructions in a payload: bug frames, alternatives, sites of alternative calls,
//! exceptions; all of them are optional.

use super::checks::Check;
use super::contents::Contents;
use super::terms::{Address, Base, Item, Result, check, number, unknown};
use crate::change::Change;

/// `struct bug_frame`
const BUG_FRAME: u64 = 8;
/// `struct exception_table_entry`
const EXCEPTION: u64 = 8;
/// `struct alt_call`
const CALL_SITE: u64 = 4;
/// `struct alt_instr`, and what it was before it had a field for padding.
const ALTERNATIVE: u64 = 14;
const ALTERNATIVE_UNPADDED: u64 = 12;
/// The indirect call at such a site: its opcode, before a displacement of 4 bytes.
const INDIRECT_CALL: [u8; 2] = [0xff, 0x15];
const CALL: u64 = 6;
/// The most bytes that an alternative writes (`MAX_PATCH_LEN`).
const ALTERNATIVE_MAX: u64 = 255;
/// CPU features that every release knows: a synthetic one of Xen's is behind them.
const FEATURES: u16 = 10 * 32;
/// An alternative for CPUs without the feature (`ALT_FLAG_NOT`).
const WITHOUT: u16 = 1 << 15;

/// How many elements a table of `size` bytes has, if the section of that name is a table.
pub fn elements(name: &str, size: u64) -> Option<u64> {
    let element = match name {
        ".bug_frames.0" | ".bug_frames.1" | ".bug_frames.2" | ".bug_frames.3" => BUG_FRAME,
        ".ex_table" => EXCEPTION,
        ".alt_call_sites" => CALL_SITE,
        ".altinstructions" if size.is_multiple_of(ALTERNATIVE) => ALTERNATIVE,
        ".altinstructions" => ALTERNATIVE_UNPADDED,
        _ => return None,
    };
    Some(size / element)
}

impl Contents<'_, '_> {
    /// Their checks, in the order of `prepare_payload`.
    pub(super) fn tables(&self) -> Result<()> {
        for name in [&b".bug_frames.0"[..], b".bug_frames.1", b".bug_frames.2", b".bug_frames.3"] {
            self.whole(name, BUG_FRAME, Check::BugFrames)?;
        }
        self.alternatives()?;
        if self.rules.has(Change::AlternativeCalls) {
            self.call_sites()?;
        }
        if let Some(section) = self.whole(b".ex_table", EXCEPTION, Check::ExceptionTable)? {
            let bearable = self.size(section) != 0 || self.rules.has(Change::EmptyExTable);
            check(bearable, Check::ExceptionTable.on(Item::Section(section)))?;
        }
        Ok(())
    }

    /// The section of that name, which consists of whole elements, if it is there.
    fn whole(&self, name: &[u8], element: u64, or: Check) -> Result<Option<usize>> {
        let Some(section) = self.elf.find(name) else { return Ok(None) };
        check(self.size(section).is_multiple_of(element), or.on(Item::Section(section)))?;
        Ok(Some(section))
    }

    fn alternatives(&self) -> Result<()> {
        let padded = self.rules.has(Change::AlternativePadding);
        let element = if padded { ALTERNATIVE } else { ALTERNATIVE_UNPADDED };
        let Some(section) = self.whole(b".altinstructions", element, Check::Alternatives)? else {
            return Ok(());
        };
        if self.size(section) == 0 {
            return Ok(());
        }
        let checked = self.rules.has(Change::AlternativePlaces);
        let replacements = self.elf.find(b".altinstr_replacement");
        if checked {
            let item = Item::Section(section);
            check(self.memory.text_size() != 0, Check::AlternativeCode.on(item))?;
            check(replacements.is_some(), Check::Replacements.on(item))?;
        }
        let features = self.around.xen.features().unwrap_or(FEATURES);
        let start = self.place(section)?;
        // All of them are looked at before the first one is used.
        let mut used = Ok(());
        for (nth, at) in (start..start + self.size(section)).step_by(element as usize).enumerate() {
            let item = Item::Element(section, nth);
            let Some(rest) = self.memory.bytes(at + 8, element - 8) else {
                return unknown("the fields of an alternative");
            };
            let feature = u16::from_le_bytes(number(rest, 0)) & !WITHOUT;
            let (orig_len, repl_len) = (u64::from(rest[2]), u64::from(rest[3]));
            let padding = if padded { u64::from(rest[4]) } else { 0 };
            let orig = self.within_text(at, orig_len)?;
            let repl = match replacements {
                Some(section) => self.within_section(at + 4, section, repl_len)?,
                None => false,
            };
            if checked {
                check(orig, Check::AlternativePlace.on(item))?;
                check(repl, Check::ReplacementPlace.on(item))?;
            } else if !orig || !repl {
                return unknown("what an alternative changes");
            }
            let total = orig_len + padding;
            let usual = repl_len <= total && total < ALTERNATIVE_MAX && feature < features;
            if !usual {
                used = unknown("what comes of an alternative that compilers do not make");
            }
        }
        used
    }

    fn call_sites(&self) -> Result<()> {
        let Some(section) = self.whole(b".alt_call_sites", CALL_SITE, Check::CallSites)? else {
            return Ok(());
        };
        if self.size(section) == 0 {
            return Ok(());
        }
        let item = Item::Section(section);
        check(self.memory.text_size() != 0, Check::CallSiteText.on(item))?;
        let start = self.place(section)?;
        let sites = || (start..start + self.size(section)).step_by(CALL_SITE as usize).enumerate();
        for (nth, at) in sites() {
            let place = Check::CallSitePlace.on(Item::Element(section, nth));
            check(self.within_text(at, CALL)?, place)?;
        }
        for (nth, at) in sites() {
            let Some(site) = self.memory.reference(at) else { continue };
            let Some(opcode) = self.memory.bytes(site.offset, INDIRECT_CALL.len() as u64) else {
                return unknown("what is at the site of an alternative call");
            };
            check(opcode == INDIRECT_CALL, Check::CallSiteCode.on(Item::Element(section, nth)))?;
            if self.memory.reference(site.offset + INDIRECT_CALL.len() as u64).is_none() {
                return unknown("through which pointer an alternative call goes");
            }
        }
        Ok(())
    }

    /// Whether the reference at `at` leads to so many bytes of the payload's code.
    fn within_text(&self, at: u64, len: u64) -> Result<bool> {
        match self.memory.reference(at) {
            Some(Address { base: Base::Own, offset }) => {
                Ok(offset.checked_add(len).is_some_and(|end| end <= self.memory.text_size()))
            }
            Some(_) => Ok(false),
            None => unknown("what an element of a table refers to"),
        }
    }

    /// Whether the reference at `at` leads to so many bytes of a section.
    fn within_section(&self, at: u64, section: usize, len: u64) -> Result<bool> {
        let Some(start) = self.memory.place(section) else {
            return unknown("where a section without contents is loaded");
        };
        match self.memory.reference(at) {
            Some(Address { base: Base::Own, offset }) => {
                let end = offset.checked_add(len);
                Ok(start <= offset && end.is_some_and(|end| end <= start + self.size(section)))
            }
            Some(_) => Ok(false),
            None => unknown("what an element of a table refers to"),
        }
    }
}
