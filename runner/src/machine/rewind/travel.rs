//! Finding a place in a boot, and going there.

use std::io;

use super::replay::{Replay, Stage};
use super::timeline::{Hit, Moment, Watch};
use crate::base::exit::{Error, Result};

/// So many hits are kept of one way through the boot: the last ones.
const ROOM: usize = 1 << 16;
/// Where there are more, the next one is looked for within so many instructions,
const NEAR: u64 = 1 << 20;
/// and then within so many times more, or less.
const WIDER: u64 = 16;

/// A machine that can be had at any place of the boot, one at a time.
#[derive(Debug)]
pub struct Travel<'a> {
    stage: Stage<'a>,
    end: Moment,
    replay: Option<Replay>,
    found: Option<Found>,
}

/// What was found on the way to a place.
#[derive(Debug)]
struct Found {
    watch: Watch,
    place: u64,
    hits: Vec<Hit>,
    /// Whether that is all of them.
    whole: bool,
}

impl<'a> Travel<'a> {
    /// Begins with `replay`, a machine of `stage`, whose boot ends at `end`.
    pub fn new(stage: Stage<'a>, end: Moment, replay: Replay) -> Travel<'a> {
        Travel { stage, end, replay: Some(replay), found: None }
    }

    /// Where the boot ends.
    pub fn end(&self) -> u64 {
        self.end.at
    }

    /// The machine.
    pub fn replay(&mut self) -> Result<&mut Replay> {
        self.replay.as_mut().ok_or_else(|| Error::Tool("there is no machine any more".into()))
    }

    /// How many instructions have begun.
    pub fn now(&mut self) -> Result<u64> {
        Ok(self.replay()?.now()?.at)
    }

    /// A machine at `place`, which forgot what was told to the one before.
    pub fn to(&mut self, place: u64) -> Result<()> {
        self.on_the_way_to(place, &Watch::default(), 1)
    }

    fn on_the_way_to(&mut self, place: u64, watch: &Watch, room: usize) -> Result<()> {
        // There is one socket of each name.
        self.replay = None;
        self.replay = Some(self.stage.at(place.min(self.end()), watch, room)?);
        match self.went_astray()? {
            false => Ok(()),
            true => Err(self.stage.failed(&io::Error::other("it went another way than before"))),
        }
    }

    /// Whether the machine is at the end, but not as it was there before.
    fn went_astray(&mut self) -> Result<bool> {
        let now = self.replay()?.now()?;
        Ok(now.at == self.end.at && now != self.end)
    }

    /// The last hits before `place`, in order, and whether those are all. The machine may be another
    /// one at `place` then.
    pub fn hits_before(&mut self, place: u64, watch: &Watch) -> Result<(Vec<Hit>, bool)> {
        let known = self.found.as_ref().filter(|found| {
            let reaches = found.whole || found.hits.first().is_some_and(|hit| hit.at < place);
            found.watch == *watch && found.place >= place && reaches
        });
        if known.is_none() {
            self.on_the_way_to(place, watch, ROOM)?;
            let (hits, all) = self.replay()?.hits()?;
            let whole = hits.len() as u64 == all;
            self.found = Some(Found { watch: watch.clone(), place, hits, whole });
        }
        let found = self.found.as_ref();
        let hits = found.iter().flat_map(|found| &found.hits);
        let before = hits.copied().filter(|hit| hit.at < place).collect();
        Ok((before, found.is_some_and(|found| found.whole)))
    }

    /// The last hit before `place`.
    pub fn last_before(&mut self, place: u64, watch: &Watch) -> Result<Option<Hit>> {
        Ok(self.hits_before(place, watch)?.0.pop())
    }

    /// The first hit at `place` or after it.
    pub fn first_from(&mut self, place: u64, watch: &Watch) -> Result<Option<Hit>> {
        let end = self.end();
        let mut upto = end;
        // Wider when nothing was found, and narrower when too much was.
        let mut reach = NEAR;
        loop {
            let (hits, whole) = self.hits_before(upto, watch)?;
            let from = hits.partition_point(|hit| hit.at < place);
            match hits.get(from) {
                None if upto >= end => return Ok(None),
                Some(hit) if whole || from > 0 || reach == 1 => return Ok(Some(*hit)),
                None => reach *= WIDER,
                Some(_) if upto < end => reach = (reach / WIDER).max(1),
                Some(_) => {}
            }
            upto = place.saturating_add(reach).min(end);
        }
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
        if gone && !self.went_astray()? {
            return Ok(());
        }
        self.to(place)
    }
}
