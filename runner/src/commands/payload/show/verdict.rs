//! What a Xen will answer to a stack of payloads.

use std::fs;

use livepatch::binary::Binary;
use livepatch::change::{Change, Changes, Release};
use livepatch::model::{self, Check, Image, Item, KnownXen, Refusal, Refused, Unforeseen};
use serde::{Serialize, Serializer};

use super::file::{Contents, Function};
use super::prospect::Prospect;
use crate::base::exit::{IoContext, Result};
use crate::base::hash::hex;
use crate::machine::testbed::ChosenXen;
use crate::xen::hypervisor::XenFile;
use crate::xen::symbols::{BootXen, KnownSymbols, in_file};

/// So many letters of a name may be wrong for it to be taken for another one.
const MISSPELLED: usize = 2;

/// A Xen, as far as a payload meets it.
pub struct Subject {
    name: String,
    provenance: String,
    release: Option<Release>,
    changes: Changes,
    symbols: KnownSymbols,
}

/// What it will answer.
#[derive(Debug, Serialize)]
pub struct OnXen {
    /// The Xen, as the user calls it.
    pub xen: String,
    /// Where it came from.
    pub provenance: String,
    /// What it calls itself.
    pub release: Option<String>,
    /// Its build-id, in hexadecimal.
    pub build_id: String,
    /// For each file, in the order of their uploads.
    pub files: Vec<Verdict>,
}

/// What comes of the upload of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is loaded.
    Success,
    /// It is refused.
    Refused,
    /// The model cannot tell.
    #[default]
    Unknown,
}

/// What it will answer to one file.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// To the upload.
    pub upload: Answer,
    /// The first check that the file does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Told>,
    /// What the model does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// What to expect of APPLY, REVERT and another APPLY.
    pub then: Vec<Prospect>,
    /// Whether it can be applied again after a REVERT, if it is loaded.
    #[serde(skip)]
    pub again: Option<bool>,
    /// Where each function is in this Xen.
    pub functions: Vec<Option<Place>>,
}

impl Verdict {
    /// None, for this reason.
    fn unknown(why: &str) -> Verdict {
        Verdict { unknown: Some(why.to_owned()), ..Verdict::default() }
    }

    /// What becomes of it for a file with these `contents` that is loaded upon those `below`.
    fn upon(self, below: &[Verdict], contents: &Contents) -> Verdict {
        let mut verdict = self;
        // What such a file leaves behind, nobody knows either.
        if below.iter().any(|below| below.upload == Answer::Unknown) {
            verdict = Verdict { functions: verdict.functions, ..Verdict::unknown(BELOW) };
        }
        let patched = || below.iter().flat_map(|below| &below.functions).flatten();
        let functions = contents.functions.iter().zip(&verdict.functions).enumerate();
        for (number, (function, place)) in functions {
            let at = |place: &Place| patched().any(|other| other.address == place.address);
            if function.expects.is_some() && place.as_ref().is_some_and(at) {
                verdict.then.retain(|then| !then.is_unmet_in(number));
                verdict.then.push(Prospect::Covered(number));
            }
        }
        verdict
    }
}

/// Why nothing is foretold of a file upon one of which nothing is.
const BELOW: &str = "what comes of a file before it";

/// Where a function is in a Xen.
#[derive(Debug, Serialize)]
pub struct Place {
    /// Its address; in the document in hexadecimal.
    #[serde(serialize_with = "in_hexadecimal")]
    pub address: u64,
    /// The symbol there.
    pub symbol: String,
    /// Bytes from there to the end of the symbol, or to the next one.
    pub size: Option<u64>,
}

fn in_hexadecimal<S: Serializer>(
    address: &u64,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{address:#x}"))
}

/// A check that a file does not pass.
#[derive(Debug, Serialize)]
pub struct Told {
    /// The error.
    pub errno: String,
    /// Its number.
    pub number: u16,
    /// The function of Xen that makes the check.
    pub function: &'static str,
    /// What must hold.
    pub rule: &'static str,
    /// What does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// What to do about it.
    pub remedy: String,
}

impl Subject {
    /// The Xen that is `chosen`, which is in `file`.
    pub fn read(chosen: &ChosenXen, file: &XenFile) -> Result<Subject> {
        let XenFile { path, provenance, .. } = file;
        let xen = BootXen::parse(fs::read(path).io("read", path)?);
        let symbols = xen.and_then(KnownSymbols::of).map_err(|why| in_file(path, &why))?;
        let mut subject = Subject::of(&chosen.xen.name, provenance.clone(), symbols);
        for statement in &chosen.xen.changes {
            let (sign, name) = statement.split_at(1);
            if let Some(change) = Change::named(name) {
                subject.changes.set(change, sign == "+");
            }
        }
        Ok(subject)
    }

    /// Its names and its code.
    pub fn symbols(&self) -> &KnownSymbols {
        &self.symbols
    }

    /// Whether it has a change.
    pub fn has(&self, change: Change) -> bool {
        self.changes.has(change)
    }

    /// The Xen with these symbols, which is as its release.
    pub fn of(name: &str, provenance: String, symbols: KnownSymbols) -> Subject {
        let release = symbols.release();
        let changes = release.map(Changes::of).unwrap_or_default();
        Subject { name: name.to_owned(), provenance, release, changes, symbols }
    }

    /// What comes of the files, each behind the ones before it, or `alone`.
    pub fn judge(&self, files: &[(Vec<u8>, Contents)], alone: bool) -> OnXen {
        let mut loaded: Vec<Image> = Vec::new();
        let mut verdicts: Vec<Verdict> = Vec::new();
        for (bytes, contents) in files {
            let (mut verdict, image) = self.judge_one(bytes, contents, &loaded);
            if !alone {
                verdict = verdict.upon(&verdicts, contents);
                loaded.extend(image);
            }
            verdicts.push(verdict);
        }
        OnXen {
            xen: self.name.clone(),
            provenance: self.provenance.clone(),
            release: self.release.map(|release| release.to_string()),
            build_id: hex(self.symbols.build_id()),
            files: verdicts,
        }
    }

    fn judge_one(
        &self,
        bytes: &[u8],
        contents: &Contents,
        loaded: &[Image],
    ) -> (Verdict, Option<Image>) {
        let functions = contents.functions.iter().map(|function| {
            let address = address(function, &self.symbols)?;
            Some(Place {
                address,
                symbol: self.symbols.describe(address)?,
                size: self.symbols.end(address).map(|end| end - address),
            })
        });
        let functions = functions.collect();
        if self.release.is_none() {
            let unknown = Verdict::unknown("what this Xen calls itself");
            return (Verdict { functions, ..unknown }, None);
        }
        let (id, xen) = (self.symbols.build_id(), &self.symbols);
        match model::upload(bytes, self.changes, id, xen, &loaded) {
            Ok(image) => {
                let below = loaded.last().map_or(id, |below| below.build_id.as_slice());
                let verdict = Verdict {
                    upload: Answer::Success,
                    then: Prospect::all(&image, below, !loaded.is_empty()),
                    again: Some(image.safe_to_reapply),
                    functions,
                    ..Verdict::default()
                };
                (verdict, Some(image))
            }
            Err(Refusal::Refused(refused)) => {
                let (upload, refusal) = (Answer::Refused, Some(self.tell(refused, contents)));
                (Verdict { upload, refusal, functions, ..Verdict::default() }, None)
            }
            Err(Refusal::Unforeseen(Unforeseen::Unknown(why) | Unforeseen::Effect(why))) => {
                (Verdict { functions, ..Verdict::unknown(why) }, None)
            }
        }
    }

    fn tell(&self, refused: Refused, contents: &Contents) -> Told {
        let Refused { check, errno, item } = refused;
        let mut remedy = check.remedy().to_owned();
        let mut hint = |name: &str| {
            if let Some(other) = self.spelled_otherwise(name) {
                remedy = format!("this Xen has {other}; {remedy}");
            }
        };
        let item = item.map(|item| match item {
            Item::Section(number) => contents.section(number),
            Item::Absent(name) => format!("there is no {name}"),
            Item::Symbol(number) => {
                let Some(name) = contents.symbol(number) else { return format!("symbol {number}") };
                if check == Check::Resolved {
                    hint(name);
                }
                format!("symbol {number}, {name}")
            }
            Item::Relocation(section, nth) => contents.relocation(section, nth),
            Item::Element(section, nth) => {
                format!("element {nth} of {}", contents.section(section))
            }
            Item::Function(number) => {
                let function = contents.functions.get(number);
                let Some(name) = function.and_then(|function| function.name.as_deref()) else {
                    return format!("function {number}");
                };
                if check == Check::FunctionName {
                    hint(name);
                }
                format!("function {number}, {name}")
            }
        });
        Told {
            errno: errno.to_string(),
            number: errno.0,
            function: check.function(),
            rule: check.rule(),
            item,
            remedy,
        }
    }

    /// How this Xen spells a name that it does not have.
    fn spelled_otherwise(&self, name: &str) -> Option<String> {
        let bare = name.rsplit('#').next()?;
        let same = |other: &&str| other.rsplit('#').next() == Some(bare);
        let mut others: Vec<&str> = self.symbols.names().filter(same).collect();
        if others.is_empty() {
            let alike = |other: &&str| strsim::damerau_levenshtein(name, other) <= MISSPELLED;
            others = self.symbols.names().filter(alike).collect();
        }
        others.sort_unstable();
        others.truncate(3);
        // Of two kinds of file, each spells the path in its own way.
        let spelled_in = |binary: Binary, name: &str, other: &str| {
            let paths = name.split_once('#').zip(other.split_once('#'));
            paths.is_some_and(|((name, _), (other, _))| name != other && name == binary.path(other))
        };
        let of_efi = others.iter().any(|other| spelled_in(Binary::Efi, name, other));
        let of_elf = others.iter().any(|other| spelled_in(Binary::Efi, other, name));
        let whose = match (of_efi, of_elf) {
            (true, _) => " (as it is spelled, a xen.efi has it)",
            (_, true) => " (as it is spelled, a xen.gz has it)",
            _ => "",
        };
        (!others.is_empty()).then(|| others.join(", ") + whose)
    }
}

/// Where a function is, as `resolve_old_address` finds it.
pub fn address(function: &Function, symbols: &KnownSymbols) -> Option<u64> {
    let of_name = |name: &str| symbols.address(symbols.find(name.as_bytes())?);
    if let Some(symbol) = &function.old_symbol {
        // `name`, or `name+0x10`
        let (name, addend) = symbol.rsplit_once(['+', '-']).unwrap_or((symbol, "0x0"));
        let digits = addend.strip_prefix("0x").filter(|_| of_name(symbol).is_none());
        let Some(distance) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
            return of_name(symbol);
        };
        let start = of_name(name)?;
        let minus = symbol.as_bytes()[name.len()..].starts_with(b"-");
        return if minus { start.checked_sub(distance) } else { start.checked_add(distance) };
    }
    function.old_address.or_else(|| of_name(function.name.as_deref()?))
}
