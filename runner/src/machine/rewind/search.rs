//! Looking for hits in a boot, from a place in it: back, or forward.
//!
//! Each look is a way through a part of the boot, which keeps the last hits on it, so many as there is
//! room for. A look begins where a machine can begin, which may be long before it has to.

use std::mem;

use super::timeline::{Hit, Watch};
use crate::base::exit::Result;

/// So many hits there are to say that there are more.
pub const ROOM: usize = 1 << 16;
/// The next hit is looked for within so many instructions,
const NEAR: u64 = 1 << 20;
/// and then within so many times more.
const WIDER: u64 = 16;

/// A boot to look at.
pub trait Boot {
    /// Looks for hits from `from`, or earlier, to `to`, which is `from` or later. Keeps the last ones
    /// where there are too many, and at least those of the last instruction.
    fn look(&mut self, from: u64, to: u64, watch: &Watch) -> Result<Found>;
    /// Where it ends.
    fn end(&self) -> u64;
}

/// All hits from one place to another one.
#[derive(Debug, Default)]
pub struct Found {
    /// What was waited for.
    pub watch: Watch,
    /// The first place,
    pub from: u64,
    /// and the one behind the last.
    pub to: u64,
    /// The hits, in order.
    pub hits: Vec<Hit>,
}

impl Found {
    /// Whether the last hits before `place` are here.
    fn reaches(&self, place: u64, watch: &Watch) -> bool {
        self.watch == *watch && (self.from..=self.to).contains(&place)
    }

    /// The hits before `place`.
    fn before(&self, place: u64) -> &[Hit] {
        &self.hits[..self.hits.partition_point(|hit| hit.at < place)]
    }
}

/// What was found last: who goes on looking for the same may find it here.
#[derive(Debug, Default)]
pub struct Search(Found);

impl Search {
    /// The last hits before `place`, in order, and whether those are all.
    pub fn all_before(
        &mut self,
        boot: &mut dyn Boot,
        place: u64,
        watch: &Watch,
    ) -> Result<(Vec<Hit>, bool)> {
        if !(self.0.reaches(place, watch) && self.0.from == 0) {
            self.0 = boot.look(0, place, watch)?;
        }
        Ok((self.0.before(place).to_vec(), self.0.from == 0))
    }

    /// The last hits before `place`, in order, as far back as it takes until there are `enough`, and
    /// whether those are all.
    pub fn back_from(
        &mut self,
        boot: &mut dyn Boot,
        place: u64,
        watch: &Watch,
        enough: &dyn Fn(&[Hit]) -> bool,
    ) -> Result<(Vec<Hit>, bool)> {
        if !self.0.reaches(place, watch) {
            self.0 = boot.look(place.saturating_sub(1), place, watch)?;
        }
        loop {
            let (from, hits) = (self.0.from, self.0.before(place));
            if from == 0 || hits.len() >= ROOM || enough(hits) {
                return Ok((hits.to_vec(), from == 0));
            }
            let earlier = boot.look(from - 1, from, watch)?;
            let later = mem::replace(&mut self.0, earlier);
            self.0.to = later.to;
            self.0.hits.extend(later.hits);
        }
    }

    /// The first hit at `place` or after it.
    pub fn first_from(
        &mut self,
        boot: &mut dyn Boot,
        place: u64,
        watch: &Watch,
    ) -> Result<Option<Hit>> {
        let end = boot.end();
        // From `place` to `empty` there is none.
        let (mut empty, mut to) = (place, place.saturating_add(NEAR));
        loop {
            to = to.min(end);
            if !(self.0.reaches(empty, watch) && self.0.to >= to) {
                self.0 = boot.look(empty, to, watch)?;
            }
            let hit = self.0.hits.get(self.0.before(empty).len()).copied();
            match hit {
                None if to >= end => return Ok(None),
                None => {
                    empty = to;
                    to = place.saturating_add((to - place).saturating_mul(WIDER));
                }
                Some(hit) if self.0.from <= empty => return Ok(Some(hit)),
                // There were too many, and the first ones are lost.
                Some(_) => to = empty.midpoint(to).max(empty + 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot with a hit at each of these places, machines that can begin at some places, and room for
    /// some hits.
    struct Made {
        hits: Vec<u64>,
        begins: Vec<u64>,
        room: usize,
        end: u64,
        looks: usize,
    }

    impl Boot for Made {
        fn look(&mut self, from: u64, to: u64, watch: &Watch) -> Result<Found> {
            assert!(from <= to && to <= self.end, "{from} {to}");
            self.looks += 1;
            let began = self.begins.iter().copied().rfind(|begin| *begin <= from).unwrap_or(0);
            let on_the_way = self.hits.iter().filter(|at| (began..to).contains(at));
            let hit = |at: &u64| Hit { at: *at, rip: 0, wrote_to: None };
            let mut hits: Vec<Hit> = on_the_way.map(hit).collect();
            let lost = hits.len().saturating_sub(self.room);
            hits.drain(..lost);
            let from = if lost == 0 { began } else { hits[0].at };
            Ok(Found { watch: watch.clone(), from, to, hits })
        }

        fn end(&self) -> u64 {
            self.end
        }
    }

    /// Some numbers below `end`, rising, that look like chance.
    fn places(seed: u64, count: u64, end: u64) -> Vec<u64> {
        let number = |n: u64| (seed * 1009 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17;
        let mut places: Vec<u64> = (0..count).map(|n| number(n) % end).collect();
        places.sort_unstable();
        places
    }

    fn watch() -> Watch {
        Watch::new(vec![1], vec![])
    }

    #[test]
    fn the_nearest_hit_is_found_wherever_one_looks_from() {
        for seed in 0..60 {
            let end = [100, 1 << 16, 1 << 30][seed as usize % 3];
            let hits = places(seed, [0, 1, 9, 400][seed as usize % 4], end);
            let (begins, room) =
                (places(seed + 100, seed % 5, end), [1, 7, 1000][seed as usize % 3]);
            let mut boot = Made { hits: hits.clone(), begins, room, end, looks: 0 };
            let mut search = Search::default();
            for place in places(seed + 200, 20, end + 1) {
                let before = hits.iter().copied().rfind(|at| *at < place);
                let found =
                    search.back_from(&mut boot, place, &watch(), &|hits| !hits.is_empty()).unwrap();
                assert_eq!(found.0.last().map(|hit| hit.at), before, "{seed} back from {place}");
                let from = hits.iter().copied().find(|at| *at >= place);
                let found = search.first_from(&mut boot, place, &watch()).unwrap();
                assert_eq!(found.map(|hit| hit.at), from, "{seed} on from {place}");
            }
        }
    }

    #[test]
    fn as_many_as_are_wanted_come_from_as_far_as_it_takes() {
        let hits: Vec<u64> = (0..100).map(|n| n * 10).collect();
        let begins: Vec<u64> = (0..10).map(|n| n * 100).collect();
        let mut boot = Made { hits, begins, room: 1000, end: 1000, looks: 0 };
        let mut search = Search::default();
        let mut back = |place: u64, wanted: usize, boot: &mut Made| {
            let enough = |hits: &[Hit]| hits.len() >= wanted;
            let (hits, all) = search.back_from(boot, place, &watch(), &enough).unwrap();
            (hits.first().map(|hit| hit.at), hits.len(), all, mem::take(&mut boot.looks))
        };
        assert_eq!(back(555, 1, &mut boot), (Some(500), 6, false, 1));
        // From there on it is known.
        assert_eq!(back(531, 4, &mut boot), (Some(500), 4, false, 0));
        assert_eq!(back(555, 20, &mut boot), (Some(300), 26, false, 2));
        assert_eq!(back(555, 1000, &mut boot), (Some(0), 56, true, 3));
        assert_eq!(back(5, 1, &mut boot), (Some(0), 1, true, 0));
    }

    #[test]
    fn a_count_is_of_all_or_said_to_be_of_some() {
        let hits = (0..100).collect();
        let mut boot = Made { hits, begins: vec![50], room: 60, end: 1000, looks: 0 };
        let mut all = |place| {
            let (hits, all) = Search::default().all_before(&mut boot, place, &watch()).unwrap();
            (hits.len(), all)
        };
        assert_eq!([all(60), all(100), all(0)], [(60, true), (60, false), (0, true)]);
    }
}
