//! Xen's code and constants, seen from outside of the machine.
//!
//! The guest asks for three looks. Before the first upload they are remembered. While all payloads
//! are applied, they differ in the patched places only, which hold what Xen writes there
//! ([`sites`]), and the jumps lead to the [`code`] of the files. In the end not one byte differs.
//! [`ground`] finds all that in the machine's memory, and [`picture`] compares.

mod code;
mod ground;
mod picture;
mod sites;

use std::path::Path;
use std::sync::Arc;

use protocol::lookout::{Finding, Request};

use self::ground::Ground;
use self::picture::{Picture, told};
use self::sites::{Codes, Site, Written};
use super::Payloads;
use crate::base::plural::count;
use crate::commands::payload::show::verdict::Subject;
use crate::machine::lookout::{Machine, Onlooker};
use crate::xen::symbols::KnownSymbols;

/// What there is to know of a Xen before it boots.
pub struct OfXen {
    ground: Result<Ground, String>,
    /// Or why it has no symbols.
    patched: Result<Patched, String>,
}

/// What payloads make of a Xen.
struct Patched {
    subject: Arc<Subject>,
    sites: Vec<Site>,
    written: Written,
}

impl OfXen {
    /// Of the Xen in the file `elf`, which is `subject` if it has symbols, and of what `payloads`
    /// change of it.
    pub fn of(elf: &Path, subject: &Result<Arc<Subject>, String>, payloads: &Payloads) -> OfXen {
        match subject {
            Ok(subject) => {
                let symbols = subject.symbols();
                let patched = Patched {
                    sites: sites::of(&payloads.names, &payloads.files, symbols),
                    written: Written::by(subject),
                    subject: Arc::clone(subject),
                };
                OfXen { ground: Ground::named(symbols), patched: Ok(patched) }
            }
            Err(why) => OfXen { ground: Ground::in_file(elf), patched: Err(why.clone()) },
        }
    }

    fn symbols(&self) -> Option<&KnownSymbols> {
        self.patched.as_ref().ok().map(|patched| patched.subject.symbols())
    }
}

/// Looks at one boot.
pub struct Looks {
    xen: Arc<OfXen>,
    /// Where it is in memory.
    base: Option<u64>,
    /// How it was, or why nobody saw it.
    before: Result<Picture, String>,
    /// It was seen to change, so this is the Xen that runs.
    moved: bool,
}

impl Looks {
    /// At a boot of `xen`.
    pub fn at(xen: Arc<OfXen>) -> Looks {
        let before = Err("nobody was asked to remember Xen's code".into());
        Looks { xen, base: None, before, moved: false }
    }

    /// How the ground is now, and what is at the ends of the jumps that `patched` has put there.
    fn look(
        &mut self,
        ground: &Ground,
        patched: Option<&Patched>,
        machine: &Machine,
    ) -> Result<(Picture, Codes), String> {
        let seen = machine.still(|memory| {
            let base = match self.base {
                Some(base) => base,
                None => ground.find(memory)?,
            };
            self.base = Some(base);
            let now = ground.picture(memory, base)?;
            let mut codes = Codes::new();
            if let (Some(Patched { sites, written, .. }), Ok(before)) = (patched, &self.before) {
                for (target, size) in sites::targets(before, &now, sites, written) {
                    codes.insert((target, size), ground.mapped(memory, base, target, size)?);
                }
            }
            Ok((now, codes))
        });
        seen.map_err(|why| format!("cannot look at Xen's code: {why}"))
    }
}

impl Onlooker for Looks {
    fn answer(&mut self, request: Request, machine: &Machine) -> (Finding, String) {
        let xen = Arc::clone(&self.xen);
        let ground = match &xen.ground {
            Ok(ground) => ground,
            Err(why) => return (Finding::Untold, why.clone()),
        };
        let patched = xen.patched.as_ref().ok().filter(|_| request == Request::Patched);
        let (now, codes) = match self.look(ground, patched, machine) {
            Ok(seen) => seen,
            Err(why) => {
                if request == Request::Remember {
                    self.before = Err(why.clone());
                }
                return (Finding::Unseen, why);
            }
        };
        let before = match (&self.before, request) {
            (_, Request::Remember) => {
                self.before = Ok(now);
                return (Finding::Holds, String::new());
            }
            (Ok(before), _) => before,
            (Err(why), _) => return (Finding::Unseen, why.clone()),
        };
        let differences: Vec<u64> = before.differences(&now).collect();
        let (answer, moved) = match (request, &xen.patched) {
            (Request::Patched, Ok(Patched { subject, sites, written })) => {
                let symbols = subject.symbols();
                (verdict(sites::check(before, &now, sites, written, &codes, symbols)), true)
            }
            (Request::Patched, Err(why)) => {
                let seen = count(differences.len(), "byte");
                let text = format!("Xen differs in {seen}, and nothing tells which should: {why}");
                ((Finding::Untold, text), !differences.is_empty())
            }
            (_, Err(why)) if differences.is_empty() && !self.moved => {
                let text =
                    format!("Xen's code was never seen to change: is it the right one? {why}");
                ((Finding::Untold, text), false)
            }
            _ if differences.is_empty() => {
                let all = count(before.len(), "byte");
                let text = format!("{all} of code and constants are as before the first upload");
                ((Finding::Holds, text), self.moved)
            }
            _ => {
                let told = told(&differences, before, &now, xen.symbols());
                let text =
                    format!("after the last step Xen differs from before the first upload {told}");
                ((Finding::Broken, text), self.moved)
            }
        };
        self.moved = moved;
        answer
    }
}

fn verdict(checked: Result<String, String>) -> (Finding, String) {
    match checked {
        Ok(text) => (Finding::Holds, text),
        Err(text) => (Finding::Broken, text),
    }
}
