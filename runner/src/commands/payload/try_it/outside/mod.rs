//! Xen's code and constants, seen from outside of the machine.
//!
//! The guest asks for three looks. Before the first upload they are remembered. While all payloads
//! are applied, they differ in the patched places only, which hold what Xen writes there
//! ([`sites`]). In the end not one byte differs. [`picture`] finds them in the machine's memory and
//! compares.

mod picture;
mod sites;

use std::sync::Arc;

use protocol::lookout::{Finding, Request};

use self::picture::{Ground, Picture};
use self::sites::{Site, Written};
use super::Payloads;
use crate::base::plural::count;
use crate::commands::payload::show::verdict::Subject;
use crate::machine::lookout::{Machine, Onlooker};

/// What there is to know of a Xen before it boots.
pub struct OfXen {
    subject: Arc<Subject>,
    ground: Result<Ground, String>,
    written: Written,
    sites: Vec<Site>,
}

impl OfXen {
    /// Of the Xen `subject`, and of what `payloads` change of it.
    pub fn of(subject: Arc<Subject>, payloads: &Payloads) -> OfXen {
        let symbols = subject.symbols();
        let ground = Ground::of(symbols);
        let written = Written::by(&subject);
        let contents = payloads.files.iter().map(|(_, contents)| contents);
        let sites = sites::of(&payloads.names, contents, symbols);
        OfXen { subject, ground, written, sites }
    }
}

/// Looks at one boot.
pub struct Looks {
    /// The Xen, or why nothing is known of it.
    xen: Result<Arc<OfXen>, String>,
    /// Where it is in memory.
    base: Option<u64>,
    /// How it was, or why nobody saw it.
    before: Result<Picture, String>,
}

impl Looks {
    /// At a boot of `xen`.
    pub fn at(xen: Result<Arc<OfXen>, String>) -> Looks {
        Looks { xen, base: None, before: Err("nobody was asked to remember it".into()) }
    }

    /// How the ground is now.
    fn picture(&mut self, ground: &Ground, machine: &Machine) -> Result<Picture, String> {
        let seen = machine.still(|memory| {
            let base = match self.base {
                Some(base) => base,
                None => ground.find(memory)?,
            };
            self.base = Some(base);
            ground.picture(memory, base)
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
        let ground = match &xen.ground {
            Ok(ground) => ground,
            Err(why) => return (Finding::Untold, why.clone()),
        };
        let now = self.picture(ground, machine);
        if request == Request::Remember {
            self.before = now;
            return match &self.before {
                Ok(_) => (Finding::Holds, String::new()),
                Err(why) => (Finding::Unseen, why.clone()),
            };
        }
        let (before, now) = match (&self.before, &now) {
            (Ok(before), Ok(now)) => (before, now),
            (Err(why), _) | (_, Err(why)) => return (Finding::Unseen, why.clone()),
        };
        let symbols = xen.subject.symbols();
        let judged = match request {
            Request::Patched => sites::check(before, now, &xen.sites, &xen.written, symbols),
            Request::Remember | Request::Restored => {
                let differences: Vec<u64> = before.differences(now).collect();
                match differences.as_slice() {
                    [] => Ok(format!(
                        "{} of code and constants are as before the first upload",
                        count(before.len(), "byte")
                    )),
                    all => Err(format!(
                        "after the last step Xen differs from before the first upload {}",
                        picture::told(all, before, now, symbols)
                    )),
                }
            }
        };
        match judged {
            Ok(text) => (Finding::Holds, text),
            Err(text) => (Finding::Broken, text),
        }
    }
}
