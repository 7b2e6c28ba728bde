//! Finding a place in a boot, and going there.

use super::replay::{Replay, Stage};
use super::search::{Boot, Found, ROOM, Search};
use super::timeline::{Hit, Watch};
use crate::base::exit::{Error, Result};

/// A machine that can be had at any place of the boot, one at a time.
#[derive(Debug)]
pub struct Travel<'a> {
    way: Way<'a>,
    search: Search,
}

/// The boot, and the machine in it.
#[derive(Debug)]
struct Way<'a> {
    stage: Stage<'a>,
    end: u64,
    replay: Option<Replay>,
}

impl Way<'_> {
    fn replay(&mut self) -> Result<&mut Replay> {
        self.replay.as_mut().ok_or_else(|| Error::Tool("there is no machine any more".into()))
    }

    /// A machine at `to`, which began at `from` or before.
    fn go(&mut self, from: u64, to: u64, watch: &Watch, room: usize) -> Result<()> {
        // There is one socket of each name.
        self.replay = None;
        self.replay = Some(self.stage.on_the_way(from, to.min(self.end), watch, room)?);
        Ok(())
    }
}

impl Boot for Way<'_> {
    fn look(&mut self, from: u64, to: u64, watch: &Watch) -> Result<Found> {
        self.go(from, to, watch, ROOM)?;
        let replay = self.replay()?;
        let (hits, all) = replay.hits()?;
        let lost = hits.len() as u64 != all;
        let from = hits.first().filter(|_| lost).map_or(replay.began, |hit| hit.at);
        Ok(Found { watch: watch.clone(), from, to, hits })
    }

    fn end(&self) -> u64 {
        self.end
    }
}

impl<'a> Travel<'a> {
    /// Begins with `replay`, a machine of `stage` at the end of the boot.
    pub fn new(stage: Stage<'a>, replay: Replay) -> Result<Travel<'a>> {
        let end = replay.now()?.at;
        let way = Way { stage, end, replay: Some(replay) };
        Ok(Travel { way, search: Search::default() })
    }

    /// Where the boot ends.
    pub fn end(&self) -> u64 {
        self.way.end
    }

    /// The machine.
    pub fn replay(&mut self) -> Result<&mut Replay> {
        self.way.replay()
    }

    /// How many instructions have begun.
    pub fn now(&mut self) -> Result<u64> {
        Ok(self.replay()?.now()?.at)
    }

    /// A machine at `place`, which forgot what was told to the one before.
    pub fn to(&mut self, place: u64) -> Result<()> {
        self.way.go(place, place, &Watch::default(), 1)
    }

    /// The last hits before `place`, in order, and whether those are all. The machine may be another
    /// one somewhere else then, as after each search.
    pub fn all_before(&mut self, place: u64, watch: &Watch) -> Result<(Vec<Hit>, bool)> {
        self.search.all_before(&mut self.way, place, watch)
    }

    /// The last hits before `place`, in order, as far back as it takes until there are `enough`, and
    /// whether those are all.
    pub fn back_from(
        &mut self,
        place: u64,
        watch: &Watch,
        enough: &dyn Fn(&[Hit]) -> bool,
    ) -> Result<(Vec<Hit>, bool)> {
        self.search.back_from(&mut self.way, place, watch, enough)
    }

    /// The last hit before `place`.
    pub fn last_before(&mut self, place: u64, watch: &Watch) -> Result<Option<Hit>> {
        Ok(self.back_from(place, watch, &|hits| !hits.is_empty())?.0.pop())
    }

    /// The first hit at `place` or after it.
    pub fn first_from(&mut self, place: u64, watch: &Watch) -> Result<Option<Hit>> {
        self.search.first_from(&mut self.way, place, watch)
    }

    /// Has a machine at each of `places`, which rise, looked at, and in the end one at `last`.
    pub fn visit<T>(
        &mut self,
        places: &[u64],
        last: u64,
        look: &mut dyn FnMut(&mut Replay) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut seen = Vec::new();
        if let Some(first) = places.first() {
            self.to(*first)?;
        }
        for place in places {
            self.on_to(*place)?;
            seen.push(look(self.replay()?)?);
        }
        if !places.is_empty() {
            self.on_to(last)?;
        }
        Ok(seen)
    }

    /// Goes on to `place` with the machine that there is, or with a new one if that does not stop
    /// there.
    pub fn on_to(&mut self, place: u64) -> Result<()> {
        let gone = self.now()? <= place && self.replay()?.go_on(place).is_ok();
        let now = self.replay()?.now()?;
        if gone && !self.way.stage.is_astray(now) {
            return Ok(());
        }
        self.to(place)
    }
}
