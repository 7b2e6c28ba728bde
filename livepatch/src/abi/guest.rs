//! Guest addresses as values: what Xen may read, and what Xen may write.

use core::marker::PhantomData;

use bytemuck::Pod;

/// Bytes at address 0 that the framework never maps.
pub(super) const PAGE_ZERO: u64 = 4096;

/// A guest address that Xen only reads from.
#[derive(Clone, Copy, Debug)]
pub struct In<'a> {
    addr: u64,
    room: u64,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> In<'a> {
    /// Address 0. The framework keeps page 0 unmapped, so Xen finds nothing there.
    pub const NULL: Self = Self { addr: 0, room: PAGE_ZERO, memory: PhantomData };

    /// The address of `bytes`.
    pub fn from_slice(bytes: &'a [u8]) -> Self {
        Self {
            addr: bytes.as_ptr().expose_provenance() as u64,
            room: bytes.len() as u64,
            memory: PhantomData,
        }
    }

    /// Any address, such as one that is unmapped or not canonical.
    ///
    /// # Safety
    /// Reading there must have no effect: no device registers within reach.
    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    pub const unsafe fn from_raw(addr: u64) -> Self {
        Self { addr, room: u64::MAX, memory: PhantomData }
    }

    /// The address `bytes` further on.
    ///
    /// # Panics
    /// If that lies beyond the end of the slice, or of page 0 for [`In::NULL`].
    pub const fn offset(self, bytes: u64) -> Self {
        assert!(bytes <= self.room, "the offset leads out of the memory");
        Self { addr: self.addr.wrapping_add(bytes), room: self.room - bytes, memory: PhantomData }
    }

    /// The address as Xen gets it.
    pub const fn addr(self) -> u64 {
        self.addr
    }
}

/// A guest address that Xen may write to, and how many bytes there are for it.
#[derive(Debug)]
pub struct Out<'a> {
    addr: u64,
    room: u64,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Out<'a> {
    /// Address 0. The framework keeps page 0 unmapped, so Xen's write fails.
    pub const NULL: Self = Self { addr: 0, room: PAGE_ZERO, memory: PhantomData };

    /// The address of `items`: bytes, `u32`s or [`LivepatchStatus`](super::LivepatchStatus)es.
    pub fn from_slice<T: Pod>(items: &'a mut [T]) -> Self {
        Self {
            addr: items.as_mut_ptr().expose_provenance() as u64,
            room: size_of_val(items) as u64,
            memory: PhantomData,
        }
    }

    /// Any address, such as one that is unmapped, read-only, or shortly before an unmapped page.
    ///
    /// # Safety
    /// Xen writing any number of bytes from `addr` on, until its first write that fails, must
    /// not touch memory that Rust code owns for the length of `'a`.
    #[expect(unsafe_code, reason = "the caller vouches for the address")]
    pub const unsafe fn from_raw(addr: u64) -> Self {
        Self { addr, room: u64::MAX, memory: PhantomData }
    }

    /// The address `bytes` further on, with so much less room.
    ///
    /// # Panics
    /// If that lies beyond the end of the slice, or of page 0 for [`Out::NULL`].
    pub const fn offset(self, bytes: u64) -> Self {
        assert!(bytes <= self.room, "the offset leads out of the memory");
        Self { addr: self.addr.wrapping_add(bytes), room: self.room - bytes, memory: PhantomData }
    }

    /// The address as Xen gets it.
    pub const fn addr(&self) -> u64 {
        self.addr
    }

    /// Bytes that Xen may write there.
    pub const fn room(&self) -> u64 {
        self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_slices() {
        let bytes = [1u8, 2, 3];
        assert_eq!(In::from_slice(&bytes).addr(), bytes.as_ptr() as u64);
        assert_eq!(In::from_slice(&bytes).offset(3).addr(), bytes.as_ptr() as u64 + 3);

        let mut words = [0u32; 4];
        let start = words.as_ptr() as u64;
        let out = Out::from_slice(&mut words);
        assert_eq!((out.addr(), out.room()), (start, 16));
        let later = out.offset(12);
        assert_eq!((later.addr(), later.room()), (start + 12, 4));
    }

    #[test]
    #[should_panic(expected = "leads out")]
    fn an_offset_stays_within_the_memory() {
        let mut words = [0u32; 4];
        let _ = Out::from_slice(&mut words).offset(17);
    }

    #[test]
    #[should_panic(expected = "leads out")]
    fn null_with_an_offset_stays_in_page_zero() {
        let _ = In::NULL.offset(4097);
    }
}
