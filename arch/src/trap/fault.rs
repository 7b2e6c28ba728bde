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

impl Fault {
    /// In the first word `vector` in bits 0–7, bit 8 set (so that #DE differs from "no fault"), bit
    /// 9 where the address is known, `error` above 32; in the second the address.
    pub(crate) fn encode(self) -> (u64, u64) {
        let known = u64::from(self.address.is_some());
        let what = u64::from(self.error) << 32 | known << 9 | 1 << 8 | u64::from(self.vector);
        (what, self.address.unwrap_or(0))
    }

    /// The fault that a guarded instruction left in rax and rdx, if any.
    pub(crate) fn decode(rax: u64, rdx: u64) -> Result<(), Self> {
        if rax == 0 {
            return Ok(());
        }
        let address = (rax & 1 << 9 != 0).then_some(rdx);
        Err(Self { vector: rax as u8, error: (rax >> 32) as u32, address })
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
