//! The machines that mutants go on from.
//!
//! Xen boots once for each kind of boot, up to where the guest waits for its command line. There the
//! machine is saved; a mutant goes on from it with one instruction changed. So Xen itself has booted, and
//! the guest has learned from Xen itself what Xen is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::sites::Site;
use crate::base::output::note;
use crate::machine::snapshot::{FromSnapshot, WithBytes};
use crate::xen::place::{self, linked};

/// The saved machines, and where in them the sites are.
pub struct Saved<'a> {
    snapshots: &'a FromSnapshot<'a>,
    /// For each boot of the plan that goes on from one, the place of each site.
    places: Vec<Option<Vec<Place>>>,
}

/// The physical address of what changes, if memory holds the instruction that Xen's file does.
type Place = Option<u64>;

impl<'a> Saved<'a> {
    /// Finds `sites` of the Xen at `place` in the RAM of each boot of the plan that goes on from a
    /// saved machine, or of which it is known why it does not.
    pub fn find(
        snapshots: &'a FromSnapshot<'a>,
        rams: Vec<Option<Result<PathBuf, String>>>,
        place: &Result<place::Place, String>,
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
        let places = rams.into_iter().map(of_boot).collect();
        complaints.dedup();
        for why in complaints {
            note(&format!("mutants are switched on, which takes longer: {why}"));
        }
        Saved { snapshots, places }
    }

    /// Whether the boot with that place in the plan goes on from a saved machine.
    pub fn has(&self, index: usize) -> bool {
        self.places.get(index).is_some_and(Option::is_some)
    }

    /// What carries out that boot of the mutant of `site`, which has the number `number`, unless it
    /// has to be switched on.
    pub fn change(&self, index: usize, number: usize, site: &Site<'_>) -> Option<WithBytes<'a>> {
        let at = self.places[index].as_ref()?[number]?;
        Some(WithBytes { snapshots: self.snapshots, at, bytes: site.mutation.bytes.clone() })
    }

    /// Whether that boot's memory holds something else where the site with the number `number` is.
    pub fn differs(&self, index: usize, number: usize) -> bool {
        let places = self.places.get(index).and_then(Option::as_ref);
        places.is_some_and(|places| places[number].is_none())
    }
}

/// Finds each of `sites` in the file `ram`.
fn find(ram: &Path, place: &place::Place, sites: &[&Site<'_>]) -> io::Result<Vec<Place>> {
    let file = File::open(ram)?;
    let read = |at: u64, size: u64| {
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    // Below 4 GiB, where Xen is, a place in the file is the physical address.
    let base = place.find(file.metadata()?.len(), read)?;
    let of_site = |site: &&Site<'_>| {
        let at = base + linked(site.address);
        // The whole instruction: Xen may have patched itself.
        let same = read(at, site.code.len() as u64)? == site.code;
        Ok(same.then_some(at + site.mutation.skip as u64))
    };
    sites.iter().map(of_site).collect()
}
