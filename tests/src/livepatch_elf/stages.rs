//! Which of two faults Xen finds first: the order of stages in `load_payload_data`, and of the
//! parts of `prepare_payload`.
//!
//! Before fa49f4be41 `.livepatch.xen_depends` is compared late; since then it is looked
//! at right after the ELF file itself.

use kernel::xen::Change;
use kernel::{Case, Context, Errno, Outcome};
use livepatch::payload::wire::{
    R_X86_64_PC32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHN_UNDEF, Sym,
};
use livepatch::payload::{Elf, Hook, Symbol, code};

use super::claims::{
    EEXIST, EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW, OTHER, base, checks_xen_depends_first,
    file_refused, junk, load, refused,
};

pub(super) const CASES: &[Case] = &[
    Case::new("stages/file_before_xen_depends", |c| {
        refused(c, EOPNOTSUPP, |e| {
            file(e);
            xen_depends(e);
        })
    }),
    Case::new("stages/file_before_loading_and_symbols", |c| {
        refused(c, EINVAL, |e| {
            symbol(e);
            write_and_exec(e);
            e.section_mut(".symtab").shdr.sh_entsize = 0;
        })
    }),
    Case::new("stages/xen_depends_before_loading_since_fa49f4be41", |c| {
        c.needs(Change::XenDepends)?;
        let errno = if checks_xen_depends_first(c) { EINVAL } else { EOPNOTSUPP };
        xen_depends_and(c, errno, write_and_exec)
    }),
    Case::new("stages/xen_depends_before_symbols_since_fa49f4be41", |c| {
        c.needs(Change::XenDepends)?;
        let errno = if checks_xen_depends_first(c) { EINVAL } else { ENOENT };
        xen_depends_and(c, errno, symbol)
    }),
    Case::new("stages/xen_depends_before_relocations_since_fa49f4be41", |c| {
        c.needs(Change::XenDepends)?;
        let errno = if checks_xen_depends_first(c) { EINVAL } else { EOVERFLOW };
        xen_depends_and(c, errno, relocation)
    }),
    Case::new("stages/xen_depends_before_functions_since_fa49f4be41", |c| {
        c.needs(Change::XenDepends)?;
        let errno = if checks_xen_depends_first(c) { EINVAL } else { EOPNOTSUPP };
        xen_depends_and(c, errno, function)
    }),
    Case::new("stages/xen_depends_before_the_same_id_since_fa49f4be41", |c| {
        c.needs(Change::XenDepends)?;
        let errno = if checks_xen_depends_first(c) { EINVAL } else { EEXIST };
        let _other = load(c, OTHER, &base(c)?.to_bytes())?;
        xen_depends_and(c, errno, |_| {})
    }),
    Case::new("stages/xen_depends_before_new_names", |c| {
        c.needs(Change::XenDepends)?;
        xen_depends_and(c, EINVAL, new_name)
    }),
    Case::new("stages/missing_xen_depends_as_well", |c| {
        c.needs(Change::XenDepends)?;
        let errno = if checks_xen_depends_first(c) { EINVAL } else { EOPNOTSUPP };
        refused(c, errno, |e| {
            e.remove(".livepatch.xen_depends");
            write_and_exec(e);
        })
    }),
    Case::new("stages/loading_before_symbols", |c| both(c, EOPNOTSUPP, symbol, write_and_exec)),
    Case::new("stages/loading_before_relocations", |c| {
        both(c, EOPNOTSUPP, relocation, write_and_exec)
    }),
    Case::new("stages/symbols_before_relocations", |c| both(c, ENOENT, relocation, symbol)),
    Case::new("stages/symbols_before_special_sections", |c| both(c, ENOENT, depends, symbol)),
    Case::new("stages/relocations_before_special_sections", |c| {
        both(c, EOVERFLOW, depends, relocation)
    }),
    Case::new("stages/relocations_before_functions", |c| both(c, EOVERFLOW, function, relocation)),
    Case::new("stages/special_sections_before_functions", |c| both(c, EINVAL, function, depends)),
    Case::new("stages/empty_hooks_before_functions", |c| {
        c.needs(Change::HooksAlone)?;
        let mut elf = base(c)?.hook(Hook::PostApply, code::ret()).elf();
        function(&mut elf);
        elf.section_mut(Hook::PostApply.section()).shdr.sh_size = 0;
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("stages/functions_before_the_same_id", |c| {
        let _other = load(c, OTHER, &base(c)?.to_bytes())?;
        refused(c, EOPNOTSUPP, function)
    }),
    Case::new("stages/hooks_before_the_same_id", |c| {
        let _other = load(c, OTHER, &base(c)?.to_bytes())?;
        let mut elf = base(c)?.hook(Hook::Load, code::ret()).elf();
        elf.section_mut(Hook::Load.section()).shdr.sh_size = 7;
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("stages/the_same_id_before_depends", |c| {
        let _other = load(c, OTHER, &base(c)?.to_bytes())?;
        refused(c, EEXIST, |e| e.note_mut(".livepatch.depends").descsz = 0)
    }),
    Case::new("stages/functions_before_new_names", |c| both(c, EOPNOTSUPP, new_name, function)),
];

fn both(c: &Context, errno: Errno, one: fn(&mut Elf), other: fn(&mut Elf)) -> Outcome {
    refused(c, errno, |e| {
        one(e);
        other(e);
    })
}

/// The base payload for another Xen, with another fault, is refused with `errno`.
fn xen_depends_and(c: &Context, errno: Errno, other: fn(&mut Elf)) -> Outcome {
    both(c, errno, other, xen_depends)
}

/// EOPNOTSUPP by the section headers.
fn file(elf: &mut Elf) {
    elf.ehdr.e_phnum = 1;
}

/// EINVAL by the Xen that it is for.
fn xen_depends(elf: &mut Elf) {
    elf.note_mut(".livepatch.xen_depends").desc[0] ^= 1;
}

/// EOPNOTSUPP by `move_payload`.
fn write_and_exec(elf: &mut Elf) {
    junk(elf, |s| s.sh_flags = SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR);
}

/// ENOENT by the symbols.
fn symbol(elf: &mut Elf) {
    let sym = Sym { st_shndx: SHN_UNDEF, ..Sym::default() };
    elf.symbols_mut().push(Symbol { name: "xtf_unknown".into(), sym });
    elf.relayout();
}

/// EOVERFLOW by a relocation of a function's name.
fn relocation(elf: &mut Elf) {
    let rela = &mut elf.rela_mut(".rela.livepatch.funcs")[0];
    rela.set_kind(R_X86_64_PC32);
    rela.r_addend = 1 << 40;
}

/// EINVAL by a missing section.
fn depends(elf: &mut Elf) {
    elf.remove(".livepatch.depends");
}

/// EOPNOTSUPP by the version of a function.
fn function(elf: &mut Elf) {
    elf.funcs_mut()[0].version = 0;
}

/// EEXIST by a symbol with the name of Xen's.
fn new_name(elf: &mut Elf) {
    let index = elf.section_index(".rodata").expect("a section of the base payload");
    let sym = Sym { st_shndx: index as u16, st_value: 1, ..Sym::default() };
    elf.symbols_mut().push(Symbol { name: "xen_changeset".into(), sym });
    elf.relayout();
}
