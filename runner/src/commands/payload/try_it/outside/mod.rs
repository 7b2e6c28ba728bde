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

/// What there is to know of a Xen before it boots, and what payloads make of it.
pub struct OfXen {
    subject: Arc<Subject>,
    ground: Ground,
    sites: Vec<Site>,
    written: Written,
}

impl OfXen {
    /// Of the Xen that is `subject`, and of what `payloads` change of it, of which the last one may
    /// `replace` the others; or what is not known of it.
    pub fn of(subject: &Arc<Subject>, payloads: &Payloads, replace: bool) -> Result<OfXen, String> {
        let symbols = subject.symbols();
        let first = if replace { payloads.files.len().saturating_sub(1) } else { 0 };
        Ok(OfXen {
            ground: Ground::of(symbols)?,
            sites: sites::of(&payloads.names[first..], &payloads.files[first..], symbols),
            written: Written::by(subject),
            subject: Arc::clone(subject),
        })
    }
}

/// Why a boot that goes on behind a step has nothing to compare with.
const NOBODY: &str = "in this boot nobody was asked to remember Xen's code";

/// Looks at one boot.
pub struct Looks {
    /// Or why nothing can be told.
    xen: Result<Arc<OfXen>, String>,
    /// Where it is in memory.
    base: Option<u64>,
    /// How it was, or why nobody saw it.
    before: Result<Picture, String>,
}

impl Looks {
    /// At a boot of `xen`.
    pub fn at(xen: Result<Arc<OfXen>, String>) -> Looks {
        let before = Err(NOBODY.into());
        Looks { xen, base: None, before }
    }

    /// How the ground is now, and what is at the ends of the jumps if all payloads are applied.
    fn look(
        &mut self,
        xen: &OfXen,
        request: Request,
        machine: &Machine,
    ) -> Result<(Picture, Codes), String> {
        let OfXen { ground, sites, written, .. } = xen;
        let seen = machine.still(|memory| {
            let base = match self.base {
                Some(base) => base,
                None => ground.find(memory)?,
            };
            self.base = Some(base);
            let now = ground.picture(memory, base)?;
            let mut codes = Codes::new();
            if let (Request::Patched, Ok(before)) = (request, &self.before) {
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
        let xen = match &self.xen {
            Ok(xen) => Arc::clone(xen),
            Err(why) => return (Finding::Untold, why.clone()),
        };
        let (now, codes) = match self.look(&xen, request, machine) {
            Ok(seen) => seen,
            Err(why) => {
                if request == Request::Remember {
                    self.before = Err(why.clone());
                }
                return (Finding::Unseen, why);
            }
        };
        let OfXen { subject, sites, written, .. } = &*xen;
        let symbols = subject.symbols();
        match (&self.before, request) {
            (_, Request::Remember) => {
                self.before = Ok(now);
                (Finding::Holds, String::new())
            }
            (Err(why), _) if why == NOBODY => (Finding::Untold, why.clone()),
            (Err(why), _) => (Finding::Unseen, why.clone()),
            (Ok(before), Request::Patched) => {
                verdict(sites::check(before, &now, sites, written, &codes, symbols))
            }
            (Ok(before), Request::Restored) => verdict(restored(before, &now, symbols)),
        }
    }
}

/// Whether `now` is as `before`, to the byte.
fn restored(before: &Picture, now: &Picture, symbols: &KnownSymbols) -> Result<String, String> {
    let differences: Vec<u64> = before.differences(now).collect();
    if differences.is_empty() {
        let all = count(before.len(), "byte");
        return Ok(format!("{all} of code and constants are as before the first upload"));
    }
    let told = told(&differences, before, now, symbols);
    Err(format!("after the last step Xen differs from before the first upload {told}"))
}

fn verdict(checked: Result<String, String>) -> (Finding, String) {
    match checked {
        Ok(text) => (Finding::Holds, text),
        Err(text) => (Finding::Broken, text),
    }
}
