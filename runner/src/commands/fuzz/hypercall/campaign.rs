//! Domain after domain: counts what becomes of them, and tries again what goes wrong.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::flaw::{Flaw, Host};
use super::round::{Calls, Round, Rounds, Went};
use super::script;
use super::tally::{Finding, Tally};
use crate::base::exit::{Error, IoContext, Result};
use crate::base::output::note;
use crate::cli::HypercallArgs;
use crate::results::expect::{Expectations, Subject};

/// So many domains in a row without a call are no accident.
const STILLBORN: usize = 3;
/// How many calls before the last one are tried first when a finding comes again.
const BEFORE: [u64; 2] = [0, 9];
/// A line on the console takes longer than a call: there is one for so many. Which call it was
/// comes out when they are made again, one by one.
const EVERY: u64 = 32;

/// See the module.
pub struct Campaign<'a> {
    pub args: &'a HypercallArgs,
    pub rounds: Rounds<'a>,
    pub expectations: Expectations,
    pub tally: Tally,
}

impl Campaign<'_> {
    /// Domains until time is over or the user has seen enough.
    pub fn run(&mut self) -> Result<()> {
        let seeds = (0..).map(|round| self.args.seed.wrapping_add(round));
        let kinds = self.args.env.iter().cycle();
        let (steps, mut stillborn) = (self.args.steps, 0);
        for (seed, &environment) in seeds.zip(kinds) {
            let seconds = self.tally.start.elapsed().as_secs();
            let over = self.args.seconds.is_some_and(|limit| seconds >= limit);
            if over || self.rounds.stop.requested().is_some() {
                break;
            }
            let calls = Calls { environment, seed, from: 0, steps, every: EVERY };
            let round = self.rounds.round(calls)?;
            if self.rounds.stop.requested().is_some() {
                break;
            }
            self.tally.domains += 1;
            self.tally.calls += match (&round.went, &round.last) {
                (Went::Well, _) => steps,
                (_, last) => last.as_ref().map_or(0, |(step, _)| step + 1),
            };
            stillborn = if round.last.is_some() { 0 } else { stillborn + 1 };
            match &round.went {
                Went::Well => {}
                Went::Died(how) if stillborn == STILLBORN => {
                    return Err(Error::Tool(format!(
                        "{STILLBORN} domains in a row made no call; the last one: {how}; logs: {}",
                        self.rounds.logs.dir().display()
                    )));
                }
                Went::Died(how) => self.died(calls, &round, how)?,
                Went::Wrong(flaw) => self.found(calls, &round, flaw)?,
            }
            self.tally.tell();
        }
        Ok(())
    }

    /// The list of all deaths.
    pub fn list_of_deaths(&self) -> PathBuf {
        self.rounds.logs.dir().join("deaths.txt")
    }

    fn died(&mut self, calls: Calls, round: &Round, how: &str) -> Result<()> {
        let again = match &round.last {
            Some((from, _)) => {
                let steps = calls.steps.min(from + EVERY);
                Some(self.rounds.round(Calls { from: *from, steps, every: 1, ..calls })?)
            }
            None => None,
        };
        let round = match &again {
            Some(again) => match &again.went {
                Went::Wrong(flaw) => return self.found(calls, again, flaw),
                Went::Died(_) => again,
                // It took what came before.
                Went::Well => round,
            },
            None => round,
        };
        let path = self.list_of_deaths();
        let mut file = File::options().append(true).create(true).open(&path).io("open", &path)?;
        let environment = calls.environment.name();
        let (name, call) = match &round.last {
            Some((_, call)) => (call.split(' ').nth(2).unwrap_or("?"), call.as_str()),
            None => ("before the first call", "no call"),
        };
        writeln!(file, "{environment} {call}: {how}").io("write", &path)?;
        let example = || (0, format!("{environment} {call}"));
        self.tally.deaths.entry(name.to_owned()).or_insert_with(example).0 += 1;
        Ok(())
    }

    /// Tries again what has gone wrong, on a fresh boot, and keeps it.
    fn found(&mut self, calls: Calls, round: &Round, flaw: &Flaw) -> Result<()> {
        let subject = Subject {
            xen: self.rounds.xen.name(),
            version: round.version.as_deref(),
            environment: calls.environment,
        };
        if let Some(finding) = self.tally.findings.get_mut(&flaw.name) {
            finding.times += 1;
            self.rounds.backend.power_off();
            return Ok(());
        }
        let shortest = self.again(calls, round, flaw)?;
        self.rounds.backend.power_off();
        if self.rounds.stop.requested().is_some() {
            return Ok(());
        }
        let Some((calls, round)) = shortest else {
            self.tally.unconfirmed += 1;
            note(&format!("not confirmed: {} ({})", flaw.how, self.rounds.words(calls)));
            return Ok(());
        };
        let mut evidence = vec![flaw.how.clone()];
        evidence.extend(flaw.words.iter().cloned());
        let expected = self.expectations.of_finding(&flaw.name, flaw.status, &evidence, subject);
        let path = script::write(self.args, &self.rounds, (calls, &round), flaw)?;
        if expected.is_none() {
            note(&format!("new finding: {}: {}\n{}", flaw.name, flaw.how, path.display()));
        }
        let finding = Finding { flaw: flaw.clone(), expected, path, times: 1 };
        self.tally.findings.insert(flaw.name.clone(), finding);
        Ok(())
    }

    /// The fewest calls that show `flaw` again, and how they went; `round` is how it showed first.
    fn again(&self, calls: Calls, round: &Round, flaw: &Flaw) -> Result<Option<(Calls, Round)>> {
        let step = round.last.as_ref().map_or(0, |(step, _)| *step);
        // The last calls may not have come through.
        let steps = calls.steps.min(step + 1 + EVERY);
        let mut froms: Vec<u64> = BEFORE.iter().map(|count| step.saturating_sub(*count)).collect();
        froms.push(0);
        froms.dedup();
        for from in froms {
            let Some(shown) = self.shows(Calls { from, steps, every: 1, ..calls }, flaw)? else {
                // Of another boot there is no more to learn where the host is not ours.
                if !self.rounds.backend.is_powered(self.rounds.xen)
                    && self.rounds.host() != Host::Alive
                {
                    break;
                }
                continue;
            };
            // It tells the last call, which is then tried alone.
            let alone = match &shown.1.last {
                Some((last, _)) if *last > from => {
                    self.shows(Calls { from: *last, ..shown.0 }, flaw)?
                }
                _ => None,
            };
            return Ok(Some(alone.unwrap_or(shown)));
        }
        Ok(None)
    }

    /// Makes `calls` on a fresh boot; if they show `flaw`, those up to the last one.
    fn shows(&self, calls: Calls, flaw: &Flaw) -> Result<Option<(Calls, Round)>> {
        self.rounds.backend.power_off();
        let round = self.rounds.round(calls)?;
        let same = matches!(&round.went, Went::Wrong(same) if same.name == flaw.name);
        let steps = round.last.as_ref().map_or(calls.steps, |(step, _)| step + 1);
        Ok(same.then_some((Calls { steps, ..calls }, round)))
    }
}
