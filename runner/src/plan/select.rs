//! Resolves selectors to tests, cases and environments.
//!
//! A selector is an environment (`pv64`), a category (`functional`), a test (`livepatch-list`), or
//! a test in an environment as XTF writes it (`test-pv64-livepatch-list`). A test may be followed
//! by cases (`livepatch-list/list/nr_*`), and `*` and `?` work in all three parts. `!` in front
//! excludes what the selector matches. As in XTF, names add up, and categories and environments
//! restrict them.
//!
//! The result is the image's metadata reduced to the selection, so that later steps need not know
//! why.

use std::collections::BTreeSet;

use protocol::cmdline::{AMONG, BEHIND, among};
use protocol::wildcard::{SPECIAL, fits};

use crate::base::exit::{Error, Result};
use crate::base::suggest::nearest;
use protocol::metadata::{Category, Environment};

use crate::image::{Image, Role, TestMeta};

/// Of the bytes of a guest's command line (`CMDLINE_MAX`) so many may be the list of tests.
pub const MAX_TEST_LIST: usize = 800;
/// How many names are offered.
const OFFERED: usize = 3;

/// A test as it was selected.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Environments and cases are those that were chosen.
    pub test: TestMeta,
    /// How the guest's command line says it.
    pub selector: String,
}

impl Selected {
    /// The whole test `name` of `image`, for a command that is about this test.
    pub fn whole(image: &Image, name: &str) -> Result<Selected> {
        let test = image.tests.iter().find(|test| test.name == name).cloned();
        test.map(Selected::from).ok_or_else(|| {
            let path = image.path.display();
            Error::Data(format!("the image {path} has no test {name}; build it with `make build`"))
        })
    }

    /// The test's name.
    pub fn name(&self) -> &str {
        &self.test.name
    }

    /// How a user says it.
    pub fn words(&self) -> Vec<String> {
        let name = self.name();
        let unwanted = format!("{name}/!");
        let (without, with): (Vec<&str>, Vec<&str>) =
            self.selector.split(',').partition(|word| word.starts_with(&unwanted));
        let with = if with.is_empty() { vec![name] } else { with };
        let without =
            without.into_iter().map(|word| format!("!{name}/{}", &word[unwanted.len()..]));
        with.into_iter().map(str::to_owned).chain(without).collect()
    }

    /// The same with those of its cases only that are `wanted`; `whole` has all that the image has.
    pub fn only(&self, whole: &TestMeta, wanted: &BTreeSet<&str>) -> Selected {
        let is_wanted = |case: &&String| wanted.contains(case.as_str());
        let cases: Vec<String> = self.test.cases.iter().filter(is_wanted).cloned().collect();
        let kept: BTreeSet<&str> = cases.iter().map(String::as_str).collect();
        let digits: String =
            among(whole.cases.len(), |number| kept.contains(&*whole.cases[number])).collect();
        let selector = format!("{}/{AMONG}{digits}", self.name());
        Selected { test: TestMeta { cases, ..self.test.clone() }, selector }
    }

    /// The cases of it that come behind `case`, if there are any.
    pub fn behind(&self, case: &str) -> Option<Selected> {
        let place = self.test.cases.iter().position(|other| other == case)?;
        let cases = self.test.cases.get(place + 1..).filter(|rest| !rest.is_empty())?.to_vec();
        // The last such word alone counts.
        let behind = format!("{}/{BEHIND}", self.name());
        let kept = self.selector.split(',').filter(|word| !word.starts_with(&behind));
        let last = format!("{behind}{case}");
        let selector = kept.chain([last.as_str()]).collect::<Vec<_>>().join(",");
        Some(Selected { test: TestMeta { cases, ..self.test.clone() }, selector })
    }
}

impl From<TestMeta> for Selected {
    /// The whole test.
    fn from(test: TestMeta) -> Self {
        Selected { selector: test.name.clone(), test }
    }
}

/// What the user names of the tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Selectors, those with `!` among them.
    pub selectors: &'a [String],
    /// Selectors of what is taken out.
    pub exclude: &'a [String],
    /// Whether tests that have to be named count as named.
    pub all: bool,
}

/// What the user said.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Selectors, those with `!` among them.
    pub selectors: &'a [String],
    /// Selectors of what is taken out.
    pub exclude: &'a [String],
    /// Whether tests that have to be named count as named.
    pub all: bool,
    /// What the image is going to be to Xen.
    pub role: Role,
    /// Environments that come into question.
    pub environments: &'a [Environment],
}

/// The tests of an image that `request` means, at least one, in the image's order.
///
/// A test whose cases differ between environments is there more than once, each with some of them.
pub fn select(tests: &[TestMeta], request: &Request<'_>) -> Result<Vec<Selected>> {
    let mut wanted = Vec::new();
    let mut unwanted = Vec::new();
    for text in request.selectors {
        match text.strip_prefix('!') {
            Some(inner) => unwanted.push(Selector::parse(tests, inner)?),
            None => wanted.push(Selector::parse(tests, text)?),
        }
    }
    for text in request.exclude {
        unwanted.push(Selector::parse(tests, text)?);
    }
    let selection = Selection::new(tests, request, wanted, unwanted);
    let mut selected: Vec<Selected> = Vec::new();
    for test in tests {
        let first = selected.len();
        for &environment in &test.environments {
            let Some((cases, selector)) = selection.cases_of(test, environment) else { continue };
            match selected[first..].iter_mut().find(|other| other.selector == selector) {
                Some(same) => same.test.environments.push(environment),
                None => {
                    if selector.len() > MAX_TEST_LIST {
                        return Err(Error::Usage(format!(
                            "the selectors for cases of {} take {} bytes, but the guest's command \
                             line has room for {MAX_TEST_LIST}; use fewer, with `*`",
                            test.name,
                            selector.len()
                        )));
                    }
                    let environments = vec![environment];
                    let test = TestMeta { environments, cases, ..test.clone() };
                    selected.push(Selected { test, selector });
                }
            }
        }
    }
    if selected.is_empty() { Err(selection.why_empty()) } else { Ok(selected) }
}

/// What one selector means, without its `!`.
#[derive(Clone, Debug)]
enum Selector {
    Environment(Environment),
    Category(Category),
    Test(Name),
}

/// A test, perhaps only in some environments, perhaps only some of its cases.
#[derive(Clone, Debug)]
struct Name {
    text: String,
    environment: String,
    test: String,
    cases: Option<String>,
}

impl Selector {
    /// Reads a selector; one that means nothing in this image is an error with the nearest names.
    fn parse(tests: &[TestMeta], text: &str) -> Result<Selector> {
        let supported = || tests.iter().flat_map(|test| &test.environments);
        let category = Category::ALL.into_iter().find(|category| category.name() == text);
        if let Some(category) = category {
            if !tests.iter().any(|test| test.category == category) {
                return Err(Error::EmptySelection(format!("no test has the category `{text}`")));
            }
            return Ok(Selector::Category(category));
        }
        if let Some(environment) = supported().find(|environment| environment.name() == text) {
            return Ok(Selector::Environment(*environment));
        }
        let (test, cases) = match text.split_once('/') {
            Some((test, cases)) => (test, Some(cases.to_owned())),
            None => (text, None),
        };
        let instance = test.strip_prefix("test-").and_then(|rest| rest.split_once('-'));
        let is_one = |pattern: &str| supported().any(|other| fits(pattern, other.name()));
        let (place, test) = match instance.filter(|(place, _)| is_one(place)) {
            Some((place, test)) => (place, test),
            None => ("*", test),
        };
        let name = Name {
            text: text.to_owned(),
            environment: place.to_owned(),
            test: test.to_owned(),
            cases,
        };
        if tests.iter().any(|test| test.environments.iter().any(|&place| name.means(test, place))) {
            return Ok(Selector::Test(name));
        }
        Err(Error::EmptySelection(name.unknown(tests)))
    }
}

/// The names most like what is no pattern in `text`.
fn near<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Vec<String> {
    nearest(&text.replace(SPECIAL, ""), known).into_iter().map(str::to_owned).collect()
}

impl Name {
    /// Whether it means `test` in `environment`, or at least a case of it.
    fn means(&self, test: &TestMeta, environment: Environment) -> bool {
        fits(&self.environment, environment.name())
            && fits(&self.test, &test.name)
            && self.cases.as_ref().is_none_or(|cases| test.cases.iter().any(|c| fits(cases, c)))
    }

    /// Whether it names one test, without leaving anything to a pattern.
    fn is_exact(&self) -> bool {
        !self.test.contains(SPECIAL)
    }

    /// The remedy where nothing is meant.
    fn unknown(&self, tests: &[TestMeta]) -> String {
        let text = &self.text;
        let meant = || tests.iter().filter(|test| fits(&self.test, &test.name));
        if meant().next().is_none() {
            let what = if self.is_exact() {
                format!("there is no test `{text}`")
            } else {
                format!("no test matches `{text}`")
            };
            // Who leaves the test out of TEST/CASE gets it.
            let whole = |test: &TestMeta| test.cases.iter().any(|case| fits(text, case));
            let of_cases = tests.iter().filter(|test| whole(test));
            let offers: Vec<String> =
                of_cases.map(|test| format!("{}/{text}", test.name)).collect();
            if !offers.is_empty() {
                return format!("{what}; a case is named TEST/CASE: {}", offer(&offers));
            }
            let mut known: Vec<&str> = Category::ALL.map(Category::name).to_vec();
            known.extend(tests.iter().map(|test| test.name.as_str()));
            known
                .extend(tests.iter().flat_map(|test| &test.environments).map(|place| place.name()));
            return format!("{what}; {}", offer(&near(&self.test, known)));
        }
        let places: BTreeSet<&str> =
            meant().flat_map(|test| &test.environments).map(|place| place.name()).collect();
        let Some(cases) =
            self.cases.as_ref().filter(|_| places.iter().any(|p| fits(&self.environment, p)))
        else {
            let places: Vec<&str> = places.into_iter().collect();
            let there = &self.environment;
            return format!("`{text}` runs as {}, not as {there}", places.join(", "));
        };
        let group = format!("{cases}/");
        let near = if meant().flat_map(|test| &test.cases).any(|case| case.starts_with(&group)) {
            vec![format!("{text}/*")]
        } else {
            let known = meant().flat_map(|test| &test.cases).map(String::as_str);
            near(cases, known).iter().map(|case| format!("{}/{case}", self.test)).collect()
        };
        format!("no case matches `{text}`; {}", offer(&near))
    }
}

fn offer(names: &[String]) -> String {
    if names.is_empty() {
        return "see `xtf-runner list`".to_owned();
    }
    format!("did you mean {}?", names[..names.len().min(OFFERED)].join(", "))
}

fn names(environments: &[Environment], between: &str) -> String {
    environments.iter().map(|environment| environment.name()).collect::<Vec<_>>().join(between)
}

/// The selectors, sorted by what they do.
struct Selection<'a> {
    tests: &'a [TestMeta],
    all: bool,
    role: Role,
    environments: &'a [Environment],
    names: Vec<Name>,
    categories: Vec<Category>,
    places: Vec<Environment>,
    without: Vec<Selector>,
}

impl<'a> Selection<'a> {
    fn new(
        tests: &'a [TestMeta],
        request: &Request<'a>,
        wanted: Vec<Selector>,
        without: Vec<Selector>,
    ) -> Self {
        let Request { all, role, environments, .. } = *request;
        let (mut names, mut categories, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for selector in wanted {
            match selector {
                Selector::Environment(place) => places.push(place),
                Selector::Category(category) => categories.push(category),
                Selector::Test(name) => names.push(name),
            }
        }
        Selection { tests, all, role, environments, names, categories, places, without }
    }

    fn of_category(&self, test: &TestMeta) -> bool {
        self.categories.is_empty() || self.categories.contains(&test.category)
    }

    fn is_place(&self, environment: Environment) -> bool {
        self.environments.contains(&environment)
            && (self.places.is_empty() || self.places.contains(&environment))
    }

    /// Whether what one name means, or a run without names, includes `test`.
    ///
    /// A pattern that fits default tests is not meant for the special ones beside them; where it
    /// fits none, or none of the test's category if categories are asked for, it is.
    fn includes(&self, name: Option<&Name>, test: &TestMeta, environment: Environment) -> bool {
        let fits = |test: &TestMeta, place| name.is_none_or(|name| name.means(test, place));
        if !fits(test, environment) {
            return false;
        }
        if test.runs_unnamed(self.role) || self.all || name.is_some_and(Name::is_exact) {
            return true;
        }
        if name.is_none() && self.categories.is_empty() {
            return false;
        }
        let beside = self.tests.iter().filter(|other| {
            other.runs_unnamed(self.role)
                && (self.categories.is_empty() || other.category == test.category)
        });
        !beside
            .flat_map(|other| other.environments.iter().map(move |&place| (other, place)))
            .any(|(other, place)| self.is_place(place) && fits(other, place))
    }

    /// The cases of `test` to run in `environment`, and how to say so to the guest.
    fn cases_of(&self, test: &TestMeta, environment: Environment) -> Option<(Vec<String>, String)> {
        if !self.of_category(test) || !self.is_place(environment) {
            return None;
        }
        let including: Vec<Option<&Name>> =
            if self.names.is_empty() { vec![None] } else { self.names.iter().map(Some).collect() };
        let including: Vec<Option<&Name>> =
            including.into_iter().filter(|name| self.includes(*name, test, environment)).collect();
        if including.is_empty() {
            return None;
        }
        let patterns: Vec<Option<&str>> =
            including.iter().map(|name| name.and_then(|name| name.cases.as_deref())).collect();
        let mut without = Vec::new();
        for selector in &self.without {
            match selector {
                Selector::Environment(place) if *place == environment => return None,
                Selector::Category(category) if *category == test.category => return None,
                Selector::Test(name) if name.means(test, environment) => {
                    // Without cases, the whole test is taken out.
                    without.push(name.cases.as_deref()?);
                }
                _ => {}
            }
        }
        let kept = |case: &&String| {
            patterns.iter().any(|pattern| pattern.is_none_or(|pattern| fits(pattern, case)))
                && !without.iter().any(|pattern| fits(pattern, case))
        };
        let cases: Vec<String> = test.cases.iter().filter(kept).cloned().collect();
        if cases.is_empty() {
            return None;
        }
        if cases.len() == test.cases.len() {
            return Some((cases, test.name.clone()));
        }
        let positive: BTreeSet<&str> = if patterns.contains(&None) {
            BTreeSet::new()
        } else {
            patterns.into_iter().flatten().collect()
        };
        let positive = positive.into_iter().map(|pattern| format!("{}/{pattern}", test.name));
        let without: BTreeSet<&str> = without.into_iter().collect();
        let without = without.into_iter().map(|pattern| format!("{}/!{pattern}", test.name));
        let selectors: Vec<String> = positive.chain(without).collect();
        Some((cases, selectors.join(",")))
    }

    /// What makes the selection empty, although each word means something.
    fn why_empty(&self) -> Error {
        let named: Vec<&TestMeta> = self
            .tests
            .iter()
            .filter(|test| {
                let mut places = test.environments.iter();
                places.any(|&place| match self.names.as_slice() {
                    [] => self.includes(None, test, place),
                    names => names.iter().any(|name| name.means(test, place)),
                })
            })
            .collect();
        let list = |tests: &[&TestMeta]| {
            let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).take(8).collect();
            let more = if tests.len() > names.len() { ", ..." } else { "" };
            names.join(", ") + more
        };
        if named.is_empty() {
            return Error::EmptySelection(
                "all tests in this image run only when named; see `xtf-runner list`, or use --all"
                    .into(),
            );
        }
        let of_category: Vec<&TestMeta> =
            named.iter().copied().filter(|test| self.of_category(test)).collect();
        if of_category.is_empty() {
            let categories: Vec<&str> =
                self.categories.iter().map(|category| category.name()).collect();
            return Error::EmptySelection(format!(
                "no selected test has the category {}: {}",
                categories.join(" or "),
                list(&named)
            ));
        }
        let here = |test: &&TestMeta| test.environments.iter().any(|&place| self.is_place(place));
        if !of_category.iter().any(here) {
            let mut places = self.environments.to_vec();
            places.retain(|&place| self.is_place(place));
            return Error::EmptySelection(if places.is_empty() {
                format!(
                    "{} is not one of the environments of this run: {}",
                    names(&self.places, " or "),
                    names(self.environments, ", ")
                )
            } else {
                format!(
                    "no selected test supports {}: {}",
                    names(&places, " or "),
                    list(&of_category)
                )
            });
        }
        Error::EmptySelection(format!(
            "everything that was selected is excluded: {}",
            list(&of_category)
        ))
    }
}

#[cfg(test)]
mod tests;
