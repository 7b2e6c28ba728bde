//! The image without what only a debugger reads.

use object::build::elf::Builder;

/// The image without what only a debugger reads: three quarters of it, once for each test.
pub fn without_debug_sections(image: &[u8]) -> object::build::Result<Vec<u8>> {
    let mut elf = Builder::read(image)?;
    for section in elf.sections.iter_mut() {
        section.delete = section.name.starts_with(b".debug_");
    }
    let mut small = Vec::new();
    elf.write(&mut small)?;
    Ok(small)
}
