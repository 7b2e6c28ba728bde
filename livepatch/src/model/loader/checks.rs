//! The checks of Xen's loader, each once: which function makes it, how it ends, what it asks for,
//! and what helps.

use crate::Errno;

/// Declares each check once: in the enumeration, with what a file must be as its documentation, and
/// in what can be asked about it.
macro_rules! checks {
    ($(
        $function:literal {
            $(
                $(#[doc = $text:literal])+
                $check:ident = $errno:ident, $remedy:literal;
            )*
        }
    )*) => {
        /// Something that Xen asks of a payload, in the order in which it does.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Check {
            $($($(#[doc = $text])+ $check,)*)*
        }

        impl Check {
            /// All of them.
            pub const ALL: &'static [Check] = &[$($(Check::$check,)*)*];

            /// The function of Xen that makes the check. Compilers inline some of them into
            /// `load_payload_data`, `prepare_payload` or `livepatch_op`.
            pub const fn function(self) -> &'static str {
                match self { $($(Check::$check)|* => $function,)* }
            }

            /// The answer to a payload that does not pass.
            pub const fn errno(self) -> Errno {
                match self { $($(Check::$check => Errno::$errno,)*)* }
            }

            /// What must hold.
            pub const fn rule(self) -> &'static str {
                match self { $($(Check::$check => concat!($($text),+).trim_ascii(),)*)* }
            }

            /// What to do about a payload that does not pass.
            pub const fn remedy(self) -> &'static str {
                match self { $($(Check::$check => $remedy,)*)* }
            }
        }
    };
}

checks! {
    "livepatch_op" {
        /// Xen is built with CONFIG_LIVEPATCH.
        Built = ENOSYS, "build Xen with CONFIG_LIVEPATCH=y";
    }
    "verify_payload" {
        /// The file is not empty.
        NotEmpty = EINVAL, "look at the step that wrote the file";
        /// The file has at most 2 MiB.
        FileSize = EINVAL, "strip debugging information (strip --strip-debug), or patch less at once";
    }
    "livepatch_header_check" {
        /// The file holds a whole ELF header.
        WholeHeader = EINVAL, "the file is cut off, or is no ELF file";
        /// The file begins like an ELF file.
        Magic = EINVAL, "the file is no ELF file";
        /// The file is relocatable (ET_REL), has no program headers, and is of ELF version 1 for the
        /// System V or the FreeBSD ABI.
        Relocatable = EOPNOTSUPP, "link it with ld -r, not as a program or a shared library";
        /// The header names a section with section names.
        NamesGiven = EINVAL, "do not strip the section headers";
        /// There are fewer than 1024 sections.
        SectionCount = EOPNOTSUPP, "merge sections with a linker script, or patch fewer functions";
        /// The section with section names exists.
        NamesExist = EINVAL, "the file is damaged: e_shstrndx is not below e_shnum";
        /// The table of sections begins in the file.
        TableBegins = EINVAL, "the file is cut off: e_shoff lies behind its end";
        /// An entry of the table of sections has at least 64 bytes.
        TableEntry = EINVAL, "the file is damaged: e_shentsize is too small";
        /// The table of sections ends in the file.
        TableEnds = EINVAL, "the file is cut off in its table of sections";
    }
    "arch_livepatch_verify_elf" {
        /// The file is for x86-64: 64 bits, little-endian.
        Machine = EOPNOTSUPP, "build the payload for the machine that Xen runs on";
    }
    "elf_resolve_sections" {
        /// A section begins behind the ELF header.
        SectionBegins = EINVAL, "the file is damaged: a section's sh_offset is below 64";
        /// A section ends in the file.
        SectionEnds = EINVAL, "the file is cut off in this section";
        /// A section's alignment is a power of two.
        Alignment = EOPNOTSUPP, "set the section's alignment (objcopy --set-section-alignment)";
        /// A section's address agrees with its alignment.
        Address = EINVAL, "leave sh_addr at 0, as ld -r does";
        /// A section without contents has at most 2 MiB.
        Zeroes = EINVAL, "allocate large memory in a load hook, not in .bss";
        /// There is one symbol table.
        OneSymtab = EOPNOTSUPP, "link all parts into one file with ld -r";
        /// The symbol table names its strings.
        SymtabLink = EINVAL, "the file is damaged: sh_link of .symtab is not below e_shnum";
        /// There is a symbol table.
        Symtab = EINVAL, "do not strip the symbols that relocations use";
        /// The symbol table consists of whole symbols.
        SymtabSize = EINVAL, "the file is damaged: .symtab's size or entry size is wrong";
    }
    "elf_verify_strtab" {
        /// A table of strings begins and ends with a NUL.
        Strings = EINVAL, "the file is damaged: a string table is empty or not terminated";
    }
    "elf_resolve_section_names" {
        /// A section's name is in the table of names.
        SectionName = EINVAL, "the file is damaged: a section's sh_name is too large";
    }
    "elf_get_sym" {
        /// A symbol's name is in the table of strings.
        SymbolName = EINVAL, "the file is damaged: a symbol's st_name is too large";
    }
    "check_xen_buildid" {
        /// `.livepatch.xen_depends` is there and is a note with a build-id.
        XenNote = EINVAL, "add the build-id of the Xen that the payload is for";
        /// `.livepatch.xen_depends` is this Xen's build-id.
        ThisXen = EINVAL, "build the payload for this very build of Xen; a xen.gz and the xen.efi \
             of the same package are two builds";
    }
    "move_payload" {
        /// No section is both writable and executable.
        WriteOrExecute = EOPNOTSUPP, "put code and data into sections of their own";
    }
    "livepatch_elf_resolve_symbols" {
        /// No symbol is common.
        Common = EINVAL, "compile with -fno-common";
        /// A symbol that is not in the payload is one of Xen's, or of a payload that is loaded.
        Resolved = ENOENT, "link what defines the symbol into the payload, load the payload that \
             has it first, or spell a static symbol as this build of Xen does (FILE#NAME)";
        /// A symbol has no special section index but ABS and COMMON.
        SpecialIndex = EOPNOTSUPP, "the file is damaged, or has more sections than Xen supports";
        /// A symbol's section exists.
        SymbolSection = EINVAL, "the file is damaged: a symbol's st_shndx is not below e_shnum";
    }
    "livepatch_elf_perform_relocs" {
        /// Relocations refer to the symbol table.
        RelocationLink = EINVAL, "the file is damaged: sh_link of relocations is not .symtab";
        /// A section of relocations consists of whole ones.
        RelocationSize = EINVAL, "the file is damaged: a relocation section's size is wrong";
    }
    "arch_livepatch_perform_rel" {
        /// Relocations have addends (RELA).
        Addends = EOPNOTSUPP, "build with the tools for x86-64, which write RELA";
    }
    "arch_livepatch_perform_rela" {
        /// A relocation has a symbol.
        RelocationSymbol = EOPNOTSUPP, "the file is damaged: a relocation has symbol 0";
        /// A relocation's symbol exists.
        RelocationKnown = EINVAL, "the file is damaged: a relocation's symbol does not exist";
        /// A relocation's symbol is in a section that is loaded.
        RelocationLoaded = EINVAL, "do not refer to a section without the flag ALLOC";
        /// A relocation is of the type NONE, 64, PC32 or PLT32.
        RelocationType = EOPNOTSUPP, "compile with -fPIC -fvisibility=hidden -fno-jump-tables, \
             with hidden visibility for Xen's symbols too; without -fPIC gcc makes R_X86_64_32S";
        /// A relocation writes into its section.
        RelocationPlace = EINVAL, "the file is damaged: a relocation lies behind its section";
        /// What a relocation refers to is within 2 GiB.
        RelocationReach = EOVERFLOW, "refer to it through a pointer (R_X86_64_64)";
    }
    "check_special_sections" {
        /// The sections that every payload needs are there, and are not empty.
        Needed = EINVAL, "add the section: the notes with ld --build-id=sha1 and objcopy \
             --add-section";
    }
    "check_patching_sections" {
        /// A section of functions or hooks is not empty.
        PatchingSize = EINVAL, "leave the section out";
        /// There is a section of functions or hooks.
        Patching = EINVAL, "add .livepatch.funcs or a section of hooks";
    }
    "prepare_payload" {
        /// `.livepatch.funcs` consists of whole functions.
        FunctionsSize = EINVAL, "use struct livepatch_func of this Xen's headers: 64 bytes before \
             4.14, 104 since";
        /// A function has the version that this Xen knows.
        FunctionVersion = EOPNOTSUPP, "set version to LIVEPATCH_PAYLOAD_VERSION of this Xen's \
             headers: 1 before 4.14, 2 since";
        /// A function that is replaced has a size.
        OldSize = EINVAL, "set old_size to the size of the function in Xen";
        /// A section of hooks consists of pointers.
        HooksSize = EINVAL, "a hook is a pointer of 8 bytes";
        /// A section of a single hook is one pointer.
        SingleHook = EINVAL, "leave one hook of this kind";
        /// No payload with the same build-id is loaded.
        NewBuildId = EEXIST, "the same payload is loaded already; another one needs its own id (ld \
             --build-id=sha1)";
        /// A section of bug frames consists of whole ones.
        BugFrames = EINVAL, "use the headers of the Xen that the payload is for";
        /// `.altinstructions` consists of whole alternatives.
        Alternatives = EINVAL, "use the headers of the Xen that the payload is for";
        /// There is code that alternatives can change.
        AlternativeCode = EINVAL, "leave .altinstructions out";
        /// There is a section `.altinstr_replacement` for alternatives.
        Replacements = EINVAL, "keep .altinstr_replacement, even if it is empty";
        /// An alternative is for the payload's own code.
        AlternativePlace = EINVAL, "keep alternatives of the payload's functions only";
        /// An alternative's replacement is in `.altinstr_replacement`.
        ReplacementPlace = EINVAL, "keep alternatives together with their replacements";
        /// `.alt_call_sites` consists of whole sites.
        CallSites = EINVAL, "use the headers of the Xen that the payload is for";
        /// There is code that `.alt_call_sites` can be in.
        CallSiteText = EINVAL, "leave .alt_call_sites out";
        /// A site of an alternative call is in the payload's own code.
        CallSitePlace = EINVAL, "keep sites of the payload's functions only";
        /// At the site of an alternative call there is an indirect call, relative to itself.
        CallSiteCode = EINVAL, "compile for the small code model, as Xen is";
        /// `.ex_table` consists of whole entries.
        ExceptionTable = EINVAL, "use the headers of the Xen that the payload is for; before 4.10 \
             leave out an empty one";
        /// `.modinfo` ends with a NUL.
        Metadata = EINVAL, "terminate the last string in .modinfo";
    }
    "resolve_old_address" {
        /// A function that is named and has no address is one of Xen's, or of a payload that is
        /// loaded.
        FunctionName = ENOENT, "spell the function as this build of Xen does: a static one as \
             FILE#NAME; it may have been inlined";
    }
    "arch_livepatch_verify_func" {
        /// At most 31 bytes are overwritten with NOPs.
        NopsMost = EOPNOTSUPP, "replace the function instead";
        /// NOPs stay within the function.
        NopsSize = EINVAL, "set new_size to at most old_size";
        /// A function has room for a jump: 5 bytes, and 4 more where it begins with an ENDBR64.
        JumpRoom = EINVAL, "the function is too short to be replaced: replace what calls it";
    }
    "livepatch_verify_distance" {
        /// A function is within 2 GiB of what replaces it.
        Distance = EOVERFLOW, "let new_addr refer to the payload's code, and old_addr to Xen's";
    }
    "xen_build_id_check" {
        /// A note has more than 12 bytes.
        NoteSize = EINVAL, "the note is cut off: it needs a head of 12 bytes, a name and an id";
        /// A note is a GNU build-id.
        NoteKind = ENODATA, "use a note of type NT_GNU_BUILD_ID with the name GNU";
        /// A note's name and id are in it.
        NoteParts = EINVAL, "the note is damaged: its sizes do not agree";
        /// A build-id is not empty.
        NoteId = EINVAL, "use an id of at least a byte";
    }
    "xen_build_id_dep" {
        /// `.livepatch.xen_depends` is the build-id of this Xen.
        ThisXenLate = EINVAL, "build the payload for this very build of Xen; a xen.gz and the \
             xen.efi of the same package are two builds";
    }
    "build_symbol_table" {
        /// A new symbol has a name that nobody else has.
        NewSymbol = EEXIST, "make the symbol local and strip it, or rename it; a function that \
             replaces another one may have its name";
    }
}
