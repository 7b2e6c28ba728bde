//! What is in a payload's file that somebody else made.

use bytemuck::{Pod, pod_read_unaligned};

use super::wire::{Ehdr, SHT_NOBITS, Shdr};

/// The contents of the first section called `name`; `None` if there is none, or if it cannot be
/// found for what is wrong with the file.
pub fn section<'f>(file: &'f [u8], name: &str) -> Option<&'f [u8]> {
    let ehdr: Ehdr = at(file, 0)?;
    let header = |index: u16| -> Option<Shdr> {
        let distance = u64::from(index) * u64::from(ehdr.e_shentsize);
        at(file, ehdr.e_shoff.checked_add(distance)?)
    };
    let contents = |header: &Shdr| part(file, header.sh_offset, header.sh_size);
    let names = contents(&header(ehdr.e_shstrndx)?)?;
    let is_called = |header: &Shdr| {
        let text = names.get(header.sh_name as usize..)?.strip_prefix(name.as_bytes())?;
        text.starts_with(&[0]).then_some(())
    };
    let found = (1..ehdr.e_shnum).filter_map(header).find(|header| is_called(header).is_some())?;
    if found.sh_type == SHT_NOBITS { None } else { contents(&found) }
}

fn at<T: Pod>(file: &[u8], offset: u64) -> Option<T> {
    part(file, offset, size_of::<T>() as u64).map(pod_read_unaligned)
}

fn part(file: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let from = usize::try_from(offset).ok()?;
    file.get(from..from.checked_add(usize::try_from(size).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Revision;
    use crate::payload::{Payload, Target};

    #[test]
    fn a_section_by_its_name() {
        let payload = Payload::new(&Target::new(Revision::V2, [7; 20]), "id");
        let with = payload.clone().metadata("a=b").metadata("c=d").to_bytes();
        assert_eq!(section(&with, ".modinfo"), Some(&b"a=b\0c=d\0"[..]));
        assert_eq!(section(&with, ".modinf"), None);
        assert_eq!(section(&payload.to_bytes(), ".modinfo"), None);
    }

    #[test]
    fn nothing_of_a_file_is_believed() {
        let file =
            Payload::new(&Target::new(Revision::V2, [7; 20]), "id").metadata("a=b").to_bytes();
        for len in 0..file.len() {
            let _ = section(&file[..len], ".modinfo");
        }
        for at in 0..file.len() {
            let mut file = file.clone();
            file[at] ^= 0xff;
            let _ = section(&file, ".modinfo");
        }
        assert_eq!(section(b"\x7fELF", ".modinfo"), None);
    }
}
