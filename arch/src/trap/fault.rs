//! A fault as a value.

use core::fmt;

/// The x86 name of an exception vector.
pub fn vector_name(vector: u8) -> &'static str {
    const NAMES: [&str; 22] = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#09", "#TS", "#NP", "#SS",
        "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
    ];
    NAMES.get(usize::from(vector)).copied().unwrap_or("#??")
}

/// A fault that the exception table caught.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The exception vector.
    pub vector: u8,
    /// Its error code; 0 for vectors without one.
    pub error: u32,
    /// CR2, where it is known; means something for #PF only.
    pub address: Option<u64>,
}

/// An error code has no more than 16 bits.
const ERROR_SHIFT: u32 = usize::BITS / 2;

impl Fault {
    /// In the first word `vector` in bits 0–7, bit 8 set (so that #DE differs from "no fault"), bit
    /// 9 where the address is known, `error` in the upper half; in the second the address.
    pub(crate) fn encode(self) -> [usize; 2] {
        let known = usize::from(self.address.is_some());
        let error = (self.error as usize) << ERROR_SHIFT;
        [error | known << 9 | 1 << 8 | usize::from(self.vector), self.address.unwrap_or(0) as usize]
    }

    /// The fault that a guarded instruction left in two registers, if any.
    pub(crate) fn decode([what, address]: [usize; 2]) -> Result<(), Self> {
        if what == 0 {
            return Ok(());
        }
        let address = (what & 1 << 9 != 0).then_some(address as u64);
        Err(Self { vector: what as u8, error: (what >> ERROR_SHIFT) as u32, address })
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vector, error, address } = self;
        write!(f, "{}[{error:04x}] {}", vector_name(*vector), Cr2(*address))
    }
}

/// What a report says of CR2.
pub struct Cr2(pub Option<u64>);

impl fmt::Display for Cr2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "cr2 {address:#x}"),
            None => f.write_str("address unknown"),
        }
    }
}
