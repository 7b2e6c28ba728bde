//! Xen's own symbols: `XENPF_get_symbol` of `platform_op` (xen/include/public/platform.h).

use alloc::string::String;
use core::mem::offset_of;

use arch::hypercall::{GuestWord, hypercall, nr};

use crate::outcome::Stop;
use crate::{Answer, Errno};

const XENPF_GET_SYMBOL: u32 = 63;
/// Never changed since platform_op has one.
const XENPF_INTERFACE_VERSION: u32 = 0x0300_0001;
/// `KSYM_NAME_LEN` and a NUL (xen/include/xen/symbols.h).
const NAME_SIZE_MAX: usize = 128;

/// `struct xen_platform_op` with `struct xenpf_symdata` in it.
#[repr(C)]
struct GetSymbol {
    cmd: u32,
    interface_version: u32,
    /// In: the size of the buffer. Out: bytes of the name with its NUL.
    namelen: u32,
    /// In: which symbol. Out: the next one.
    symnum: u32,
    name: GuestWord,
    address: u64,
    kind: u8,
    pad: [u8; PAD],
}

/// Bytes that are left of the call's 136.
const PAD: usize = 136 - 16 - size_of::<GuestWord>() - size_of::<u64>() - size_of::<u8>();

const _: () = assert!(size_of::<GetSymbol>() == 136 && offset_of!(GetSymbol, pad) == 136 - PAD);

/// A symbol of Xen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// Its name; a static is spelled `file.c#name`.
    pub name: String,
    /// Where it is.
    pub address: u64,
    /// Its type, as `nm` prints it.
    pub kind: char,
}

/// All of Xen's symbols, by rising address.
pub fn symbols() -> Symbols {
    Symbols { next: Some(0) }
}

/// The symbol of that name. On a Xen with many symbols this is thousands of hypercalls.
///
/// # Errors
/// A [`Stop::Error`] when there is none, or when Xen refuses to tell.
pub fn find(name: &str) -> Result<Symbol, Stop> {
    for symbol in symbols() {
        let symbol = symbol
            .map_err(|errno| Stop::error(format_args!("XENPF_get_symbol answers {errno}")))?;
        if symbol.name == name {
            return Ok(symbol);
        }
    }
    Err(Stop::error(format_args!("Xen has no symbol '{name}'")))
}

/// What [`symbols`] returns. An error is the last item.
pub struct Symbols {
    next: Option<u32>,
}

impl Iterator for Symbols {
    type Item = Result<Symbol, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        let symnum = self.next.take()?;
        match get(symnum) {
            // Behind the last symbol comes one without a name.
            Ok((symbol, _)) if symbol.name.is_empty() => None,
            Ok((symbol, next)) => {
                self.next = Some(next);
                Some(Ok(symbol))
            }
            Err(errno) => Some(Err(errno)),
        }
    }
}

fn get(symnum: u32) -> Result<(Symbol, u32), Errno> {
    let mut name = [0u8; NAME_SIZE_MAX];
    let mut op = GetSymbol {
        cmd: XENPF_GET_SYMBOL,
        interface_version: XENPF_INTERFACE_VERSION,
        namelen: name.len() as u32,
        symnum,
        name: GuestWord::new(name.as_mut_ptr().expose_provenance() as u64),
        address: 0,
        kind: 0,
        pad: [0; PAD],
    };
    let buffer = (&raw mut op).expose_provenance() as u64;
    // SAFETY: Xen writes the 136 bytes of `op`, and at most `namelen` bytes of `name`.
    Answer(unsafe { hypercall(nr::PLATFORM_OP, [buffer, 0, 0, 0, 0]) }).result()?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let symbol = Symbol {
        name: String::from_utf8_lossy(&name[..end]).into_owned(),
        address: op.address,
        kind: op.kind.into(),
    };
    Ok((symbol, op.symnum))
}
