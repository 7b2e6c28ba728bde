//! Which versions of Debian's packages are current, as far as is known here.
//!
//! Of what is made of packages, the cache keeps an entry for each version and a record that says
//! which one is current. The record is compared with apt's lists of packages, which are fetched
//! again when the last look at the archive is a day old. A look that fails, or a newer version that
//! can't be had, costs nothing but a note: what is in the cache goes on being used.
//!
//! An entry never changes, and stays until the second newer one comes: a runner that is at work
//! boots the Xen that its report names, whatever others find meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::cache::{Cache, Look};
use super::debian::{Archive, Package, has_security};
use crate::base::exit::{Error, Result};
use crate::base::hash::sha256;

/// A look at the archive counts for so many seconds.
const LOOK_LASTS: u64 = 24 * 60 * 60;
/// After one that failed, the next comes after so many.
const PAUSE: u64 = 60 * 60;

/// Something that is made of Debian's packages.
pub struct Product<'a> {
    /// What people call it.
    pub title: String,
    /// Code name of the release.
    pub suite: &'a str,
    /// Name of its record, and how the names of its entries begin.
    pub key: String,
    /// The packages that decide about it, with their current versions.
    pub packages: &'a dyn Fn(&Archive) -> Result<Vec<Package>>,
}

/// What is known of a product.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Record {
    packages: Vec<Package>,
    /// The entry made of them.
    entry: String,
    /// The one before.
    previous: Option<String>,
    /// The look whose lists have these packages.
    look: u64,
    /// What became of the last look, and when, if not what it should.
    failure: Option<(u64, String)>,
}

/// A look at a release, in seconds since 1970.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Looked {
    at: u64,
    /// Whether it saw the release's security updates.
    security: bool,
}

/// Whether something of the time `then` still counts at `now`. What is of the future says nothing.
fn is_within(then: u64, now: u64, span: u64) -> bool {
    now.checked_sub(then).is_some_and(|age| age < span)
}

impl Record {
    fn path(cache: &Cache, key: &str) -> PathBuf {
        cache.root().join(format!("{key}.json"))
    }

    fn read(cache: &Cache, key: &str) -> Option<Record> {
        serde_json::from_slice(&fs::read(Record::path(cache, key)).ok()?).ok()
    }

    /// Whether apt is to be asked before this counts.
    fn is_due(&self, looked: Option<Looked>, look: Look, now: u64) -> bool {
        let paused = self.failure.as_ref().is_some_and(|(at, _)| is_within(*at, now, PAUSE));
        let fresh = looked
            .is_some_and(|looked| self.look == looked.at && is_within(looked.at, now, LOOK_LASTS));
        match look {
            Look::Never => false,
            Look::Daily => !fresh && !paused,
            Look::Now => true,
        }
    }

    fn versions(&self) -> String {
        in_words(&self.packages)
    }
}

impl Looked {
    fn path(cache: &Cache, suite: &str) -> PathBuf {
        lists(cache, suite).join("looked.json")
    }

    fn read(cache: &Cache, suite: &str) -> Option<Looked> {
        serde_json::from_slice(&fs::read(Looked::path(cache, suite)).ok()?).ok()
    }
}

/// The folder with a release's lists, and the name of its lock.
fn lists(cache: &Cache, suite: &str) -> PathBuf {
    cache.root().join(lock_name(suite))
}

fn lock_name(suite: &str) -> String {
    format!("apt-{suite}")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn in_words(packages: &[Package]) -> String {
    let words: Vec<String> = packages.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// The first line of an error: the rest is for those whom it stops.
fn briefly(error: &Error) -> String {
    let text = error.to_string();
    let telling = text.lines().find(|line| line.starts_with("E: "));
    telling.or(text.lines().next()).unwrap_or_default().trim_end_matches(':').to_owned()
}

/// `product` as it is current, as files `names`; `make` makes them of the packages.
pub fn get<const N: usize>(
    product: &Product<'_>,
    names: [&str; N],
    cache: &Cache,
    note: &mut dyn FnMut(&str),
    make: impl Fn(&Archive, &[Package], &Path) -> Result<[Vec<u8>; N]>,
) -> Result<Found<N>> {
    let Product { title, suite, key, .. } = product;
    let known = || -> std::result::Result<(Record, Found<N>), String> {
        let root = cache.root().display();
        let record = Record::read(cache, key)
            .ok_or_else(|| format!("{title} ({key}) is not in the cache {root}"))?;
        let (paths, provenance) = cache
            .find(&record.entry, names)
            .map_err(|why| format!("{title}: cached {root}/{} {why}", record.entry))?;
        let packages = record.packages.clone();
        Ok((record, Found { paths, provenance, packages }))
    };
    let is_settled = |record: &Record, note: &mut dyn FnMut(&str)| {
        let settled = !record.is_due(Looked::read(cache, suite), cache.look(), now());
        if let (true, Some((_, why)), Look::Daily) = (settled, &record.failure, cache.look()) {
            note(&not_known(title, &record.versions(), why));
        }
        settled
    };
    let usable = known();
    if let Ok((record, found)) = &usable
        && is_settled(record, note)
    {
        return Ok(found.clone());
    }
    if let (Err(why), Look::Never) = (&usable, cache.look()) {
        return Err(offline(why));
    }

    let _lock = match cache.lock(&lock_name(suite), note) {
        Ok(lock) => lock,
        Err(source) => {
            let Ok((record, found)) = usable else { return Err(cache.unwritable(source)) };
            let why = format!("the cache can't be written: {source}");
            note(&not_known(title, &record.versions(), &why));
            return Ok(found);
        }
    };
    // Another runner may have looked while this one waited.
    let usable = known();
    if let Ok((record, found)) = &usable
        && is_settled(record, note)
    {
        return Ok(found.clone());
    }
    let old = Record::read(cache, key);
    match renew(product, names, cache, old.as_ref(), note, &make) {
        Ok(found) => Ok(found),
        Err(error) => {
            let Ok((mut record, found)) = usable else { return Err(error) };
            let why = briefly(&error);
            note(&not_known(title, &record.versions(), &why));
            record.failure = Some((now(), why));
            // What can't be written, be it for a full disk, is tried again all the sooner.
            let _ = cache.write_record(&Record::path(cache, key), &record);
            Ok(found)
        }
    }
}

fn not_known(title: &str, versions: &str, why: &str) -> String {
    format!("{title}: {versions} may not be current: {why}")
}

/// `lacks` says what can't be used.
fn offline(lacks: &str) -> Error {
    Error::Tool(format!(
        "{lacks}, and --offline forbids to fetch it; run this once without --offline"
    ))
}

/// Asks apt what is current, and makes it unless `old` is just that. The release's lock is held.
fn renew<const N: usize>(
    product: &Product<'_>,
    names: [&str; N],
    cache: &Cache,
    old: Option<&Record>,
    note: &mut dyn FnMut(&str),
    make: impl Fn(&Archive, &[Package], &Path) -> Result<[Vec<u8>; N]>,
) -> Result<Found<N>> {
    let Product { title, suite, key, packages } = product;
    let made = |archive: &Archive, looked: Looked, note: &mut dyn FnMut(&str)| {
        let packages = packages(archive)?;
        let entry = entry_name(key, &packages);
        let made = cache.get_or_make_files(&entry, names, note, |scratch, note| {
            note(&format!("fetching {} from {suite}", in_words(&packages)));
            let files = make(archive, &packages, scratch)?;
            Ok((files, format!("{} ({suite})", in_words(&packages))))
        })?;
        Ok((packages, entry, made, looked.at))
    };
    let (packages, entry, (paths, provenance), look) =
        with_lists(suite, cache, old.is_some(), note, made)?;
    let mut previous = old.and_then(|old| old.previous.clone());
    if let Some(old) = old.filter(|old| old.entry != entry) {
        note(&format!("{title}: {}", replaced(&old.packages, &packages)));
        let outdated = previous.replace(old.entry.clone());
        // It may be back: the archive decides what is current.
        if let Some(outdated) = outdated.filter(|outdated| *outdated != entry) {
            cache.remove(&outdated)?;
        }
    }
    let record = Record { packages, entry, previous, look, failure: None };
    // What can't be written, be it for a full disk, is tried again all the sooner.
    let _ = cache.write_record(&Record::path(cache, key), &record);
    Ok(Found { paths, provenance, packages: record.packages })
}

/// What is in the cache.
#[derive(Clone, Debug)]
pub struct Found<const N: usize> {
    /// The files.
    pub paths: [PathBuf; N],
    /// Where they came from, for people.
    pub provenance: String,
    /// Of which packages they were made.
    pub packages: Vec<Package>,
}

/// What differs between two versions of a product.
fn replaced(old: &[Package], new: &[Package]) -> String {
    let changes =
        new.iter().filter_map(|package| match old.iter().find(|old| old.name == package.name) {
            Some(old) if old.version == package.version => None,
            Some(old) => Some(format!("{old} replaced by {}", package.version)),
            None => Some(format!("{package} is new")),
        });
    changes.collect::<Vec<_>>().join(", ")
}

/// No name of a package has a `_`: entries of one package are not taken for those of another.
fn entry_name(key: &str, packages: &[Package]) -> String {
    match packages {
        [one] => format!("{key}_{}", one.version),
        several => format!("{key}_{}", &sha256(in_words(several).as_bytes())[..16]),
    }
}

/// Does `work` with the lists of `suite`, whose lock is held, and fetches them where the last ones
/// no longer count or are of no use: the archive may have moved on. A `brief` attempt gives up
/// soon.
fn with_lists<T>(
    suite: &str,
    cache: &Cache,
    brief: bool,
    note: &mut dyn FnMut(&str),
    work: impl Fn(&Archive, Looked, &mut dyn FnMut(&str)) -> Result<T>,
) -> Result<T> {
    let archive = Archive::at(&lists(cache, suite), suite)?;
    let last = Looked::read(cache, suite);
    if let Some(last) = last.filter(|last| is_within(last.at, now(), LOOK_LASTS))
        && cache.look() == Look::Daily
        && let Ok(done) = work(&archive, last, note)
    {
        return Ok(done);
    }
    let security = archive.update(brief)?;
    if !security && has_security(suite) {
        note(&format!(
            "apt on this machine has no security archive of Debian's: what is current in {suite} \
             lacks security updates; add the suite CODENAME-security to /etc/apt/sources.list, \
             then run with --fetch-only"
        ));
    }
    let looked = Looked { at: now(), security };
    cache.write_record(&Looked::path(cache, suite), &looked)?;
    work(&archive, looked, note)
}

/// A file of `package` in just the version that it has.
pub fn get_version(
    package: &Package,
    suite: &str,
    key: &str,
    cache: &Cache,
    note: &mut dyn FnMut(&str),
    make: impl Fn(&Path) -> Result<Vec<u8>>,
) -> Result<(PathBuf, String)> {
    let entry = entry_name(key, std::slice::from_ref(package));
    let name = [super::cache::FILE];
    if let Ok(([path], provenance)) = cache.find(&entry, name) {
        return Ok((path, provenance));
    }
    if cache.look() == Look::Never {
        let root = cache.root().display();
        return Err(offline(&format!("{package} ({suite}) is not in the cache {root}")));
    }
    let _lock = cache.lock(&lock_name(suite), note).map_err(|source| cache.unwritable(source))?;
    let make = |archive: &Archive, _: Looked, note: &mut dyn FnMut(&str)| {
        cache.get_or_make_files(&entry, name, note, |scratch, note| {
            note(&format!("fetching {package} from {suite}"));
            let deb = archive.download(package, scratch)?;
            Ok(([make(&deb)?], format!("{package} ({suite})")))
        })
    };
    match with_lists(suite, cache, false, note, make) {
        Ok(([path], provenance)) => Ok((path, provenance)),
        Err(e) => Err(Error::Tool(format!(
            "{e}\nThe Xen in the cache is of that version; `xtf-runner run --fetch-only` with the \
             same --xen looks for a newer one"
        ))),
    }
}

/// The path of a product's file, if it was ever made.
pub fn path_of(key: &str, name: &str, cache: &Cache) -> Option<PathBuf> {
    Some(cache.root().join(Record::read(cache, key)?.entry).join(name))
}

/// What is known of a product, for people; nothing if it was never made.
pub fn describe(key: &str, suite: &str, cache: &Cache) -> Option<String> {
    let record = Record::read(cache, key)?;
    let looked = Looked::read(cache, suite);
    let mut text = format!("{} ({suite})", record.versions());
    let hours = now().saturating_sub(record.look) / 3600;
    text += &match (hours, record.failure) {
        (_, Some((_, why))) => format!(", may not be current: {why}"),
        (0..48, None) => format!(", current {hours} h ago"),
        (_, None) => format!(", current {} days ago", hours / 24),
    };
    if looked.is_some_and(|looked| !looked.security && has_security(suite)) {
        text += ", without security updates: apt on this machine has no archive for them";
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.into(), version: version.into() }
    }

    #[test]
    fn when_to_look() {
        let day = LOOK_LASTS;
        let looked = Some(Looked { at: 10 * day, security: true });
        let mut record = Record {
            packages: Vec::new(),
            entry: "e".into(),
            previous: None,
            look: 10 * day,
            failure: None,
        };
        let due = |record: &Record, now| record.is_due(looked, Look::Daily, now);
        assert!(!due(&record, 10 * day) && !due(&record, 11 * day - 1));
        assert!(due(&record, 11 * day), "a day is over");
        assert!(due(&record, 10 * day - 1), "the clock was set back");
        assert!(record.is_due(None, Look::Daily, 10 * day), "the lists are gone");
        assert!(record.is_due(looked, Look::Now, 10 * day));
        assert!(!record.is_due(looked, Look::Never, 20 * day));
        record.failure = Some((20 * day, "no network".into()));
        assert!(!due(&record, 20 * day + PAUSE - 1));
        assert!(due(&record, 20 * day + PAUSE));
        record.failure = None;
        record.look = 9 * day;
        assert!(due(&record, 10 * day), "the lists are newer than what was compared");
    }

    #[test]
    fn changes_in_words() {
        let old = [package("xl", "1"), package("kernel-1", "1"), package("busybox", "1")];
        let new = [package("xl", "2"), package("kernel-2", "1"), package("busybox", "1")];
        assert_eq!(replaced(&old, &new), "xl 1 replaced by 2, kernel-2 1 is new");
        assert_eq!(entry_name("k", &new[..1]), "k_2");
        assert_ne!(entry_name("k", &old), entry_name("k", &new));
    }

    #[test]
    fn errors_in_one_line() {
        let apt = "apt-get failed (exit status: 100):\nW: x\nE: Failed to fetch a\nThe command was";
        assert_eq!(briefly(&Error::Tool(apt.into())), "E: Failed to fetch a");
        assert_eq!(briefly(&Error::Tool("apt-get is missing".into())), "apt-get is missing");
    }
}
