//! The tests of a boot that nobody here planned: the list grows as the console tells of them.
//!
//! The guest says how many tests were selected, and the name of each when it begins. In a test it
//! says how many cases there are, and the name of each with its result. Until it is named, a test
//! or a case is called by its number; so it is in the end, if its name never came. An image that is
//! at hand tells the names of cases beforehand.

use protocol::metadata::{Environment, is_test_name};

use super::judgement::{Catalogue, PlannedTest};
use super::state::{Judge, Running};

/// What is blamed for the end of a boot that says of no test that it was selected.
pub const NO_TEST: &str = "no test began";
/// Far more tests than there are: a larger plan is a damaged one.
pub(super) const MAX_TESTS: usize = 1_000;
/// Far more cases than there are, in one test and in all of them that have to be called by number.
pub(super) const MAX_CASES: usize = 10_000;

/// What is called by its number; no name has blanks.
fn unnamed(what: &str, number: usize, of: usize) -> String {
    format!("{what} {number} of {of}")
}

impl Judge {
    /// A judge for a boot of which the console alone tells what was selected. The guest must call
    /// itself `environment`, if that is known.
    pub fn hearing(environment: Option<Environment>, catalogue: Catalogue) -> Judge {
        let mut judge = Judge::new("", Vec::new());
        judge.environment = environment.map(Environment::banner);
        judge.catalogue = Some(catalogue);
        judge
    }

    /// What the guest runs as, as it says itself.
    pub fn seen_environment(&self) -> Option<Environment> {
        let seen = self.environment.filter(|_| self.environment_seen)?;
        Environment::ALL.into_iter().find(|place| place.banner() == seen)
    }

    /// The first test that was named.
    pub fn first_test(&self) -> Option<&str> {
        self.expected.get(..self.named)?.first().map(|test| test.name.as_str())
    }

    /// Why the image at hand cannot be the one that ran, if it cannot.
    pub fn misfit(&self) -> Option<&str> {
        self.misfit.as_deref()
    }

    /// Whether the guest spoke its first line.
    pub fn has_banner(&self) -> bool {
        self.banner
    }

    /// The plan says that there are `count` tests: those that did not begin yet have no names.
    pub(super) fn make_room(&mut self, count: usize) {
        for number in self.expected.len() + 1..=count {
            let name = unnamed("test", number, count);
            self.list(PlannedTest { name, cases: Vec::new() });
        }
    }

    fn list(&mut self, test: PlannedTest) {
        self.expected.push(test);
        self.reports.push(None);
    }

    /// Whoever is to blame where no test is known.
    pub(super) fn list_somebody(&mut self) {
        if self.catalogue.is_some() && self.expected.is_empty() {
            self.list(PlannedTest { name: NO_TEST.into(), cases: Vec::new() });
        }
    }

    /// The place of the test `name`, which begins or is reported, in the list.
    pub(super) fn slot_of(&mut self, name: &str) -> Option<usize> {
        let known = self.expected.iter().position(|test| test.name == name);
        let Some(catalogue) = self.catalogue.as_ref().filter(|_| known.is_none()) else {
            return known;
        };
        let full = self.named == self.expected.len();
        if !is_test_name(name) || full && (self.plan.is_some() || self.named >= MAX_TESTS) {
            return None;
        }
        let cases = catalogue.cases_of(name).unwrap_or_default().to_vec();
        let test = PlannedTest { name: name.to_owned(), cases };
        let slot = self.named;
        self.named += 1;
        match self.expected.get_mut(slot) {
            Some(place) => *place = test,
            None => self.list(test),
        }
        Some(slot)
    }

    /// The test `name`, which is reported, has this `number`. It took the first place that was free,
    /// or will: what was lost are those before it.
    pub(super) fn correct_place(&mut self, name: &str, number: usize) {
        if self.catalogue.is_none() || !(self.named..self.expected.len()).contains(&(number - 1)) {
            return;
        }
        match self.running.as_mut().filter(|running| running.name == name) {
            None if self.expected.iter().all(|test| test.name != name) => self.named = number - 1,
            None => {}
            Some(running) => {
                let Some(slot) = running.slot.replace(number - 1) else { return };
                self.named = number;
                let test = std::mem::replace(
                    &mut self.expected[slot],
                    PlannedTest {
                        name: unnamed("test", slot + 1, self.reports.len()),
                        cases: Vec::new(),
                    },
                );
                self.expected[number - 1] = test;
            }
        }
    }

    /// Why the test `name` has no place in the list.
    pub(super) fn why_not_listed(&self, name: &str) -> &'static str {
        match self.catalogue {
            None => "was not selected",
            Some(_) if !is_test_name(name) => "has a name that no test can have",
            Some(_) => "exceeds the plan",
        }
    }

    /// What is wrong with a test of that `name`, as far as the image at hand goes.
    pub(super) fn unknown_test(&mut self, name: &str) -> Option<String> {
        let catalogue = self.catalogue.as_ref().filter(|catalogue| !catalogue.tests.is_empty())?;
        let unknown = catalogue.cases_of(name).is_none();
        unknown.then(|| self.contradicts(format!("the image has no test `{name}`")))?
    }

    /// The running test says that it has `count` cases; returns what is wrong with that.
    pub(super) fn list_cases(&mut self, count: usize) -> Option<String> {
        let running = self.running.as_mut()?;
        let (slot, catalogue) = (running.slot?, self.catalogue.as_ref()?);
        let known = catalogue.cases_of(&running.name).map(<[String]>::len);
        if known == Some(count) {
            return None;
        }
        if count > MAX_CASES - self.listed {
            return Some(format!("the plan line says {count} cases"));
        }
        self.listed += count;
        running.is_part = known.is_some_and(|known| count < known);
        let cases = (1..=count).map(|number| unnamed("case", number, count)).collect();
        self.expected[slot].cases = cases;
        let known = known.filter(|&known| count > known)?;
        self.contradicts(format!("the plan line says {count} cases, but the image has {known}"))
    }

    /// The case `number` of the running test is called `name`; returns what is wrong with that.
    pub(super) fn name_case(&mut self, number: usize, name: &str) -> Option<String> {
        let Running { slot, is_part, matched, name: test, .. } = self.running.as_mut()?;
        let (slot, catalogue) = ((*slot)?, self.catalogue.as_ref()?);
        let listed = self.expected[slot].cases.get_mut(number - 1);
        let said = listed.map(|listed| std::mem::replace(listed, name.to_owned()));
        if name.contains(char::is_whitespace) {
            return Some(format!("`{name}` is no name of a case"));
        }
        let cases = catalogue.cases_of(test)?;
        if !*is_part {
            let wanted = said.filter(|said| cases.get(number - 1) == Some(said) && said != name)?;
            let why = format!("case {number} is `{name}`, the image's metadata says `{wanted}`");
            return self.contradicts(why);
        }
        match cases.iter().skip(*matched).position(|case| case == name) {
            Some(further) => {
                *matched += further + 1;
                None
            }
            None => {
                let why = format!("case {number} is `{name}`, which the image does not have there");
                self.contradicts(why)
            }
        }
    }

    /// The console contradicts the image: a violation, or the image is another one.
    fn contradicts(&mut self, why: String) -> Option<String> {
        if self.catalogue.as_ref().is_some_and(|catalogue| catalogue.is_certain) {
            return Some(why);
        }
        self.misfit.get_or_insert(why);
        None
    }
}
