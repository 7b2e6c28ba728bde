//! The table itself.
//!
//! `git log -S` on Xen's master and `git tag --contains` give the first release. A backport is a
//! commit of a stable branch that names the one of master; the point release is the first tag that
//! contains it.

use super::Evidence::{Observed, Release as ByRelease, With};
use super::{Entry, Release};

/// Declares each change once: in the enumeration, with what it changes as its documentation, and
/// in the table.
macro_rules! changes {
    ($(
        #[doc = $text:literal]
        $change:ident = $name:literal, $commit:literal, since $first:expr, $backports:expr,
            $evidence:expr;
    )*) => {
        /// A change to Xen that a guest can see.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Change {
            $(#[doc = $text] $change,)*
        }

        impl Change {
            /// Every change, the oldest first.
            pub const TABLE: &'static [Entry] = &[$(Entry {
                change: Change::$change,
                name: $name,
                commit: $commit,
                deviation: concat!("history-", $commit),
                first: $first,
                backports: $backports,
                evidence: $evidence,
                text: $text.trim_ascii_start(),
            },)*];
        }
    };
}

const fn xen(minor: u16) -> Release {
    Release::four(minor, 0)
}

const fn at(minor: u16, point: u16) -> Release {
    Release::four(minor, point)
}

/// The series that made live patching fit for indirect-branch tracking.
const WITH_ENDBR: &[Release] = &[at(14, 5), at(15, 3), at(16, 1)];
/// The series that made live patching fit for shadow stacks, and its later fixes.
const AFTER_SHADOW_STACKS: &[Release] = &[at(17, 4), at(18, 1)];
/// The series that checks before it loads; other changes came to the same point releases.
const EARLY_CHECKS: &[Release] = &[at(18, 4), at(19, 1)];

/// Why a change cannot be seen without applying a payload at every start.
const APPLY: &str = "a payload that is applied";
const CONSOLE: &str = "Xen's console";

changes! {
    /// A new symbol with the name of one of Xen's, or of another payload's, is refused (EEXIST).
    KnownSymbols = "known-symbols", "deed149b1b", since xen(7), &[], Observed;
    /// An empty exception table is no error.
    EmptyExTable = "empty-ex-table", "7597fabca7", since xen(10), &[], Observed;
    /// Alignments are powers of two (EOPNOTSUPP), and a section's address agrees with its own (EINVAL).
    SectionAlignment = "section-alignment", "c3f951417f", since xen(10), &[], Observed;
    /// A payload without any writable section can be applied again.
    ReapplyReadOnly = "reapply-read-only", "66d3f83db6", since xen(10), &[], ByRelease(APPLY);
    /// An alternative has 14 bytes instead of 12: its padding has a length.
    AlternativePadding = "alternative-padding", "4008c71d7a", since xen(11), &[], Observed;
    /// A static symbol has the whole path of its file in its name.
    SymbolPaths = "symbol-paths", "81ecb38b83", since xen(13), &[], Observed;
    /// Why something is refused is told by every build, where debug builds alone told it.
    ErrorsTold = "errors-told", "4470efeae4", since xen(13), &[], ByRelease(CONSOLE);
    /// A call trace tells by a letter where Xen has each address from: registers, frames or the stack.
    TraceLetters = "trace-letters", "445891bb8e", since xen(13), &[], ByRelease(CONSOLE);
    /// A payload states the Xen that it was built for, and is refused on another one.
    XenDepends = "xen-depends", "879615f5db", since xen(14), &[], Observed;
    /// ACTION has flags, of which NODEPS makes APPLY ignore what is below.
    ActionFlags = "action-flags", "b274989b61", since xen(14), &[], Observed;
    /// Hooks run before and after applying and reverting.
    PrePostHooks = "pre-post-hooks", "8313c864fa", since xen(14), &[], Observed;
    /// Hooks take the place of applying and reverting.
    ActionHooks = "action-hooks", "ef87efee9d", since xen(14), &[], Observed;
    /// A payload of nothing but hooks is accepted, an empty section of hooks is not.
    HooksAlone = "hooks-alone", "76b3d4098a", since xen(14), &[], Observed;
    /// A function in a payload has version 2 and 104 bytes, the last 32 of which are an expectation.
    FunctionVersion2 = "function-version-2", "6047104c3c", since xen(14), &[], Observed;
    /// APPLY compares a function's code with its expectation.
    Expectations = "expectations", "8e24c88788", since xen(14), &[], With(Change::FunctionVersion2);
    /// Metadata in a payload must end in a NUL.
    Modinfo = "modinfo", "4848297ad4", since xen(14), &[], Observed;
    /// LIST packs names, each as long as it is, where each had 128 bytes.
    PackedNames = "packed-names", "b145b4a39c", since xen(14), &[], Observed;
    /// LIST returns each payload's metadata.
    ListMetadata = "list-metadata", "5083e0ff93", since xen(14), &[], Observed;
    /// REPLACE that cannot revert a payload ends in an error.
    ReplaceRc = "replace-rc", "0dd9268808", since xen(14), &[], ByRelease(APPLY);
    /// On one CPU, ACTION is over when it returns; it had to be waited for.
    ActionAtOnce = "action-at-once", "005de45c88", since xen(14), &[at(13, 1)], ByRelease(APPLY);
    /// A function is looked up by its name before its size is judged.
    NameBeforeSize = "name-before-size", "5142dc5c25", since xen(17), WITH_ENDBR, Observed;
    /// What replaces an ENDBR64 is known for one: the jump goes behind it.
    EndbrPoison = "endbr-poison", "89a24719b6", since xen(17), &[], Observed;
    /// A jump goes behind an ENDBR64, and needs 9 bytes there.
    EndbrJump = "endbr-jump", "6974c75180", since xen(17), WITH_ENDBR, Observed;
    /// NOPs go behind an ENDBR64, and are as many fewer.
    EndbrNop = "endbr-nop", "8a87b9a0fb", since xen(17), WITH_ENDBR, With(Change::EndbrJump);
    /// An empty section is checked and has an address, and a writable one does not prevent APPLY again.
    EmptySections = "empty-sections", "0dc1f929e8", since xen(17), WITH_ENDBR, Observed;
    /// A relocation against a symbol in a section that is not loaded is refused (EINVAL).
    UnloadedSymbols = "unloaded-symbols", "9120b5737f", since xen(17), WITH_ENDBR, Observed;
    /// Write protection stays on while patching, and is lifted from code alone.
    ProtectedPatching = "protected-patching", "8676092a0f", since xen(18), &[at(16, 4), at(17, 1)],
        Observed;
    /// An alternative must be for the payload's code, with a replacement in its own section (EINVAL).
    AlternativePlaces = "alternative-places", "e74360e4ba", since xen(18), &[at(17, 4)], Observed;
    /// What Xen notes about a function is kept outside of the payload, whose functions may be read-only.
    FunctionState = "function-state", "82182ad7b4", since xen(19), &[at(17, 3), at(18, 1)],
        ByRelease(APPLY);
    /// A payload's code is known to Xen while it is loaded, not only while it is applied.
    LoadedRegions = "loaded-regions", "a57b4074ab", since xen(19), AFTER_SHADOW_STACKS,
        ByRelease(APPLY);
    /// A payload's symbols and tables are found while it is loaded, not only while it is applied.
    LoadedSymbols = "loaded-symbols", "d2daa40fb3", since xen(19), AFTER_SHADOW_STACKS,
        ByRelease(APPLY);
    /// Constants of a payload can be patched.
    PayloadConstants = "payload-constants", "ef969144a4", since xen(19), &[at(17, 4), at(18, 2)],
        ByRelease(APPLY);
    /// Constants of Xen can be patched.
    XenConstants = "xen-constants", "b083b1c393", since xen(19), &[at(17, 4), at(18, 2)],
        ByRelease(APPLY);
    /// A payload's code may span more than 2 MiB of addresses.
    LargeText = "large-text", "7c81558208", since xen(19), AFTER_SHADOW_STACKS, ByRelease(APPLY);
    /// The padding of every call is flags, of which FORCE is accepted.
    OpFlags = "op-flags", "62a72092a5", since xen(19), &[], Observed;
    /// A note that is no build-id is ENODATA, no longer EINVAL.
    ForeignNotes = "foreign-notes", "86d09d16dd", since xen(20), EARLY_CHECKS, Observed;
    /// The Xen that a payload was built for is compared before anything else about it.
    XenDependsFirst = "xen-depends-first", "fa49f4be41", since xen(20), EARLY_CHECKS, Observed;
    /// Of a number that reaches beyond the end of a PV guest's memory, the bytes that fit are written.
    ByteCopies = "byte-copies", "67a8e5721e", since xen(20), EARLY_CHECKS,
        ByRelease("memory that ends within a number, in a PV guest");
    /// Sites of indirect calls are a section of their own, with 4 bytes for each.
    AlternativeCalls = "alternative-calls", "d2fd5f0fcd", since xen(21), &[], Observed;
    /// LIST keeps to the sizes of names and metadata that are stated (ENOBUFS).
    BoundedList = "bounded-list", "4c3ce492ed", since xen(21), &[], Observed;
    /// BUG and WARN are the one byte UDB instead of UD2.
    Udb = "udb", "1f3dd605ea", since xen(22), &[], ByRelease(APPLY);
    /// Under SVM, Xen's copy of a guest's CR2 is up to date.
    SvmCr2 = "svm-cr2", "3e6bca616b", since xen(22), &[at(20, 4), at(21, 2)],
        ByRelease("a machine that intercepts MOV from CR2");
}
