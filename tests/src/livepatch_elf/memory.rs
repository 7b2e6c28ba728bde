//! Refused payloads cost nothing: whatever was allocated for them until the fault was found is
//! given back.

use alloc::vec::Vec;

use kernel::livepatch::Livepatch;
use kernel::xen::Change;
use kernel::{Case, Context, Errno, Outcome, Stop};
use livepatch::abi::{Call, In, Name, Upload};
use livepatch::payload::wire::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHN_UNDEF, SHT_NOBITS, Sym};
use livepatch::payload::{Data, Elf, Section, Symbol};

use super::claims::{EEXIST, EINVAL, ENOENT, EOPNOTSUPP, NAME, base, junk};
use crate::support::costs_no_memory;

pub(super) const CASES: &[Case] = &[
    Case::new("memory/refused_uploads_leak_nothing", refused_uploads_leak_nothing),
    Case::new("memory/uploads_refused_unread_leak_nothing", uploads_refused_unread_leak_nothing),
    Case::new("memory/more_than_there_is_is_enomem", more_than_there_is_is_enomem),
];

/// The largest section without contents that Xen takes (`LIVEPATCH_MAX_SIZE`).
const ROOM: u64 = 2 << 20;
/// So many of them are more than the part of the address space that payloads are loaded to, 1 GiB.
const ROOMS: usize = 600;

/// How often each kind is refused: several pages are lost each time, if any are.
const ROUNDS: u64 = 50;

fn refused_uploads_leak_nothing(c: &Context) -> Outcome {
    let kinds = kinds(c)?;
    costs_no_memory(c, ROUNDS, || refuse(c.livepatch(), &kinds))
}

/// Refused before a byte of the payload was looked at, for its name or for its pointer.
fn uploads_refused_unread_leak_nothing(c: &Context) -> Outcome {
    let livepatch = c.livepatch();
    let file = base(c)?.to_bytes();
    let _loaded = livepatch.load(NAME, &file)?;
    let unreadable = Upload { payload: In::NULL, ..Upload::new(Name::new(b"new\0"), &file) };
    costs_no_memory(c, ROUNDS, || {
        livepatch.upload(NAME, &file).must_be(EEXIST)?;
        livepatch.call(&Call::upload(livepatch.version, unreadable)).must_be(Errno::EFAULT)
    })
}

/// `move_payload` finds no room, and everything is as it was.
fn more_than_there_is_is_enomem(c: &Context) -> Outcome {
    let livepatch = c.livepatch();
    let mut elf = base(c)?.elf();
    for _ in 0..ROOMS {
        let flags = SHF_ALLOC | SHF_WRITE;
        elf.push(Section::new(".room", SHT_NOBITS, flags, 1, Data::NoBits(ROOM)));
    }
    let file = elf.to_bytes();
    let refuse = || livepatch.upload(NAME, &file).must_be(Errno::ENOMEM);
    costs_no_memory(c, 1, refuse)?;
    livepatch.load(NAME, &base(c)?.to_bytes()).map(drop)
}

fn refuse(livepatch: &Livepatch, kinds: &[(Vec<u8>, Errno)]) -> Outcome {
    kinds.iter().try_for_each(|(file, errno)| livepatch.upload(NAME, file).must_be(*errno))
}

/// One payload per stage that has allocated something by the time it is refused. Each takes
/// several pages in memory.
fn kinds(c: &Context) -> Result<Vec<(Vec<u8>, Errno)>, Stop> {
    let broken = |errno, change: fn(&mut Elf)| {
        let mut elf = base(c)?.bss("room", 3 * 4096).elf();
        change(&mut elf);
        Ok((elf.to_bytes(), errno))
    };
    let mut kinds = Vec::from([
        broken(EOPNOTSUPP, |e| e.ehdr.e_phnum = 1),
        broken(EINVAL, |e| e.section_mut(".symtab").shdr.sh_entsize = 0),
        broken(EOPNOTSUPP, |e| junk(e, |s| s.sh_flags = SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR)),
        broken(ENOENT, |e| {
            let sym = Sym { st_shndx: SHN_UNDEF, ..Sym::default() };
            e.symbols_mut().push(Symbol { name: "xtf_unknown".into(), sym });
            e.relayout();
        }),
        broken(EOPNOTSUPP, |e| e.rela_mut(".rela.livepatch.funcs")[0].set_kind(99)),
        broken(EOPNOTSUPP, |e| e.funcs_mut()[0].version = 0),
        broken(EINVAL, |e| e.note_mut(".livepatch.depends").descsz = 0),
    ]);
    if c.xen.has(Change::KnownSymbols) {
        kinds.push(broken(EEXIST, |e| {
            let index = e.section_index(".rodata").expect("a section of the base payload");
            let sym = Sym { st_shndx: index as u16, st_value: 1, ..Sym::default() };
            e.symbols_mut().push(Symbol { name: "xen_changeset".into(), sym });
            e.relayout();
        }));
    }
    kinds.into_iter().collect()
}
