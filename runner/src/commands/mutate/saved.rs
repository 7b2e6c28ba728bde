//! The machines that mutants go on from.
//!
//! Xen boots once for each kind of boot, up to where the guest waits for its command line. There the
//! machine is saved; a mutant goes on from it with one byte changed. So Xen itself has booted, and
//! the guest has learned from Xen itself what Xen is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::sites::Site;
use crate::base::output::note;
use crate::machine::snapshot::{FromSnapshot, WithByte};
use crate::xen::place::{Place, linked};

/// The saved machines, and where in them the branches are.
pub struct Saved<'a> {
    snapshots: &'a FromSnapshot<'a>,
    /// For each boot of the plan that goes on from one, the byte of each branch.
    bytes: Vec<Option<Vec<Byte>>>,
}

/// Its physical address and its inverted value, if memory holds what Xen's file does.
type Byte = Option<(u64, u8)>;

impl<'a> Saved<'a> {
    /// Finds `sites` of the Xen at `place` in the RAM of each boot of the plan that goes on from a
    /// saved machine, or of which it is known why it does not.
    pub fn find(
        snapshots: &'a FromSnapshot<'a>,
        rams: Vec<Option<Result<PathBuf, String>>>,
        place: &Result<Place, String>,
        sites: &[&Site<'_>],
    ) -> Saved<'a> {
        let mut complaints = Vec::new();
        let of_boot = |ram: Option<Result<PathBuf, String>>| {
            let found = ram?.and_then(|ram| {
                let place = place.as_ref().map_err(Clone::clone)?;
                find(&ram, place, sites).map_err(|why| format!("{}: {why}", ram.display()))
            });
            found.map_err(|why| complaints.push(why)).ok()
        };
        let bytes = rams.into_iter().map(of_boot).collect();
        complaints.dedup();
        for why in complaints {
            note(&format!("mutants are switched on, which takes longer: {why}"));
        }
        Saved { snapshots, bytes }
    }

    /// Whether the boot with that place in the plan goes on from a saved machine.
    pub fn has(&self, index: usize) -> bool {
        self.bytes.get(index).is_some_and(Option::is_some)
    }

    /// What carries out that boot of the mutant of the branch with the number `site`, unless it has
    /// to be switched on.
    pub fn change(&self, index: usize, site: usize) -> Option<WithByte<'a>> {
        let (at, byte) = self.bytes[index].as_ref()?[site]?;
        Some(WithByte { snapshots: self.snapshots, at, byte })
    }
}

/// Finds the byte with the condition of each of `sites` in the file `ram`.
fn find(ram: &Path, place: &Place, sites: &[&Site<'_>]) -> io::Result<Vec<Byte>> {
    let file = File::open(ram)?;
    let read = |at: u64, size: u64| {
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    // Below 4 GiB, where Xen is, a place in the file is the physical address.
    let base = place.find(file.metadata()?.len(), read)?;
    let of_site = |site: &&Site<'_>| {
        let skip = site.opcode - site.function.physical;
        let code = &site.function.code;
        let from = usize::try_from(skip).map_err(io::Error::other)?;
        let at = base + linked(site.function.address + skip);
        // With the distance that follows it: Xen may have patched itself.
        let same = read(at, 2)? == code[from..from + 2];
        Ok(same.then(|| (at, code[from] ^ 1)))
    };
    sites.iter().map(of_site).collect()
}
