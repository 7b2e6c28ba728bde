//! Which tests run: the life of the payloads, and what the user wants while they are applied.

use protocol::metadata::Need;
use protocol::programs::{PAYLOAD_EFFECT, PAYLOAD_TRY, PAYLOAD_TRY_SMP, PAYLOAD_UPLOAD};

use crate::base::exit::{Error, Result};
use crate::cli::TryArgs;
use crate::image::{Image, TestMeta};
use crate::plan;
use crate::plan::select::{Selected, Wanted};

/// The tests that `args` ask for, in the order in which they run.
pub fn tests(args: &TryArgs, image: &Image) -> Result<Vec<Selected>> {
    if args.upload_only {
        return Ok(vec![Selected::whole(image, PAYLOAD_UPLOAD)?]);
    }
    let mut tests = Vec::new();
    for (cpus, name) in [(1, PAYLOAD_TRY), (2, PAYLOAD_TRY_SMP)] {
        if args.cpus().contains(&cpus) {
            tests.push(Selected::whole(image, name)?);
        }
    }
    if args.expect_extra_version.is_some() {
        tests.push(Selected::whole(image, PAYLOAD_EFFECT)?);
    }
    if !args.with.is_empty() {
        let wanted = Wanted { selectors: &args.with, ..Wanted::default() };
        let with = plan::choose(image, wanted, args.environments())?;
        check(&with)?;
        let known: Vec<String> = tests.iter().map(|test| test.name().to_owned()).collect();
        tests.extend(with.into_iter().filter(|test| !known.iter().any(|name| name == test.name())));
    }
    Ok(tests)
}

/// CPUs that every machine has at least.
pub fn least_cpus(args: &TryArgs) -> u32 {
    args.cpus().iter().copied().min().unwrap_or(1)
}

/// Refuses tests that would find the payloads in their list.
fn check(with: &[Selected]) -> Result<()> {
    let needs_an_empty_list = |test: &TestMeta| {
        test.needs.contains(&Need::Livepatch) && !test.needs.contains(&Need::Payloads)
    };
    let tests = with.iter().filter(|selected| needs_an_empty_list(&selected.test));
    let names: Vec<&str> = tests.map(Selected::name).collect();
    let Some(first) = names.first() else { return Ok(()) };
    let (list, them) = (names.join(", "), if names.len() == 1 { "it" } else { "them" });
    Err(Error::Usage(format!(
        "--with: an empty list of payloads is needed by {list}; leave {them} out, if a pattern means \
         {them} with --with '!{first}', and see `xtf-runner run` for {them}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_need_an_empty_list_are_refused() {
        let test = |name: &str, needs: &[Need]| {
            Selected::from(TestMeta { needs: needs.to_vec(), ..TestMeta::named(name) })
        };
        let other = test("example", &[Need::Privileged]);
        let own = test("mine", &[Need::Livepatch, Need::Payloads]);
        assert!(check(&[other.clone(), own]).is_ok());
        let suites = ["lp-a", "lp-b"].map(|name| test(name, &[Need::Livepatch]));
        let why = check(&[vec![other], suites.to_vec()].concat()).unwrap_err();
        assert!(matches!(why, Error::Usage(_)));
        assert_eq!(
            why.to_string(),
            "--with: an empty list of payloads is needed by lp-a, lp-b; leave them out, if a pattern \
             means them with --with '!lp-a', and see `xtf-runner run` for them"
        );
    }
}
