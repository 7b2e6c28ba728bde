//! Which calls are made: `--only` and `--except`.

use protocol::cmdline::CMDLINE_MAX;
use protocol::hypercalls::{LEFT_OUT, MULTICALL, Selector, Unknown, candidates, names, sub_ops};
use protocol::programs::{EXCEPT, ONLY};

use crate::base::exit::{Error, Result};
use crate::base::suggest::did_you_mean;
use crate::plan::spec::join;

/// The rest of the guest's command line is for what else it is told.
const LONGEST: usize = CMDLINE_MAX - 256;

/// What the options come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Selection {
    /// How the guest is told.
    pub words: String,
    /// What is named and never made all the same, and why.
    pub never: Option<String>,
}

impl Selection {
    /// Reads the lists of the two options.
    pub fn of(only: &[String], except: &[String]) -> Result<Selection> {
        let calls = (selectors(ONLY, only)?, selectors(EXCEPT, except)?);
        let never: Vec<String> = LEFT_OUT
            .iter()
            .filter(|(call, _)| calls.0.iter().any(|only| only.covers(*call)))
            .map(|(call, why)| format!("{call}, which {why}"))
            .collect();
        let never = (!never.is_empty()).then(|| never.join("; "));
        // A multicall is made of the others.
        if candidates(&calls.0, &calls.1).all(|call| call.number == MULTICALL) {
            let why = match &never {
                Some(never) => format!(" (never made is {never})"),
                None => String::new(),
            };
            return Err(Error::EmptySelection(format!(
                "--{ONLY} and --{EXCEPT} leave nothing to call{why}; name other calls, and with \
                 multicall those that it is to be made of"
            )));
        }
        let word = |name: &str, list: &[String]| match list {
            [] => String::new(),
            list => format!("{name}={}", list.join(",")),
        };
        let words = join([&word(ONLY, only), &word(EXCEPT, except)]);
        if words.len() > LONGEST {
            return Err(Error::Usage(format!(
                "--{ONLY} and --{EXCEPT} are too long for a guest's command line ({} bytes, of \
                 which {LONGEST} fit); give calls and sub-ops by their numbers",
                words.len()
            )));
        }
        Ok(Selection { words, never })
    }
}

fn selectors(option: &str, list: &[String]) -> Result<Vec<Selector>> {
    let complain = |unknown: Unknown<'_>| {
        let remedy = match unknown {
            Unknown::Call(name) => {
                did_you_mean(name, names(), "names are those of xen/include/public/xen.h")
            }
            Unknown::SubOp(number, name) => {
                let known = sub_ops(number).map(|(_, name)| name);
                did_you_mean(name, known, "give its number, 0 to 255")
            }
            Unknown::NoSubOps(_) => "name the whole call".into(),
        };
        Error::Usage(format!("--{option}: {unknown}; {remedy}"))
    };
    list.iter().map(|word| Selector::parse(word).map_err(complain)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(only: &str, except: &str) -> Result<Selection> {
        let list =
            |text: &str| -> Vec<String> { text.split_terminator(',').map(str::to_owned).collect() };
        Selection::of(&list(only), &list(except))
    }

    #[track_caller]
    fn wrong(only: &str, except: &str) -> String {
        of(only, except).unwrap_err().to_string()
    }

    #[test]
    fn the_guest_is_told_what_the_user_says() {
        let told = |only, except| of(only, except).unwrap().words;
        assert_eq!(told("", ""), "");
        assert_eq!(told("", "20.7,kexec_op"), "except=20.7,kexec_op");
        assert_eq!(
            told("xen_version,memory_op", "memory_op.exchange"),
            "only=xen_version,memory_op except=memory_op.exchange"
        );
    }

    #[test]
    fn what_is_never_made_is_told_of() {
        let never = |only| of(only, "").unwrap().never;
        assert_eq!(never(""), None);
        assert_eq!(never("sched_op.yield"), None);
        assert_eq!(
            never("vcpu_op,console_io.write").as_deref(),
            Some(
                "console_io.write, which puts random text into the host's log, where its panics are \
                 looked for; vcpu_op.down, which stops the domain's only CPU; \
                 vcpu_op.register_vcpu_info, which moves the clock away from where this guest reads \
                 it; vcpu_op.send_nmi, which sends this guest an NMI"
            )
        );
    }

    #[test]
    fn something_is_left() {
        let nothing = "--only and --except leave nothing to call";
        assert_eq!(
            wrong("iret", ""),
            format!(
                "{nothing} (never made is iret, which does not return to its caller); name other \
                 calls, and with multicall those that it is to be made of"
            )
        );
        for (only, except) in [("multicall", ""), ("kexec_op,nmi_op.0", "kexec_op,nmi_op")] {
            let error = of(only, except).unwrap_err();
            assert!(matches!(error, Error::EmptySelection(_)));
            assert!(error.to_string().starts_with(&format!("{nothing}; ")), "{error}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_with_the_option_and_the_right_one() {
        for (only, except, expected) in [
            (
                "",
                "grant_tabel_op.7",
                "--except: no hypercall is called `grant_tabel_op`; did you mean grant_table_op",
            ),
            ("zzz", "", "--only: no hypercall is called `zzz`; names are those of xen/include/"),
            (
                "memory_op.exchnge",
                "",
                "--only: memory_op has no sub-op `exchnge`; did you mean exchange",
            ),
            ("20.900", "", "--only: grant_table_op has no sub-op `900`; give its number, 0 to 255"),
            (
                "",
                "domctl.1",
                "--except: domctl has no sub-op as its first argument; name the whole call",
            ),
        ] {
            let error = of(only, except).unwrap_err();
            assert!(matches!(error, Error::Usage(_)));
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let long = ["grant_table_op.unmap_and_replace"; 30].join(",");
        assert!(wrong(&long, "").contains("too long for a guest's command line"));
    }
}
