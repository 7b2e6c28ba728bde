//! Samples, their medians, and how these compare.

use std::fmt::Write;
use std::time::Duration;

use protocol::metadata::Environment;
use serde::Serialize;

/// Of the form of the JSON document; raised when an existing key changes its meaning.
const SCHEMA: &str = "xtf-bench/1";
/// Stands for all environments at once.
const ALL: &str = "all";

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// What a person calls it.
    pub name: &'static str,
    /// The quantity that it is a multiple of.
    pub base: Option<&'static str>,
}

/// A quantity's samples in an environment.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    environment: String,
    unit: &'static str,
    samples: Vec<f64>,
    median: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// What was measured, and on what.
#[derive(Debug, Serialize)]
pub struct Figures {
    schema: &'static str,
    xen: String,
    qemu: String,
    cpus: usize,
    jobs: usize,
    figures: Vec<Figure>,
}

impl Figures {
    /// No figures yet.
    pub fn new(xen: &str, qemu: &str, cpus: usize, jobs: usize) -> Figures {
        let (xen, qemu) = (xen.to_owned(), qemu.to_owned());
        Figures { schema: SCHEMA, xen, qemu, cpus, jobs, figures: Vec::new() }
    }

    /// Adds a sample; `None` is all environments together.
    pub fn add(&mut self, quantity: &Quantity, environment: Option<Environment>, sample: Duration) {
        self.add_named(quantity.name, quantity.base, environment, sample);
    }

    /// Adds a sample of what has its name from the guest.
    pub fn add_named(
        &mut self,
        name: &str,
        base: Option<&str>,
        environment: Option<Environment>,
        sample: Duration,
    ) {
        let environment = environment.map_or(ALL, Environment::name);
        let same = |figure: &&mut Figure| figure.name == name && figure.environment == environment;
        let sample = sample.as_secs_f64();
        if let Some(figure) = self.figures.iter_mut().find(same) {
            figure.samples.push(sample);
            figure.median = median(&figure.samples);
            return;
        }
        self.figures.push(Figure {
            name: name.to_owned(),
            environment: environment.to_owned(),
            unit: "s",
            samples: vec![sample],
            median: sample,
            base: base.map(str::to_owned),
            ratio: None,
        });
    }

    /// Fills in the ratios, once all samples are there.
    pub fn compare(&mut self) {
        let medians: Vec<(String, String, f64)> = self
            .figures
            .iter()
            .map(|figure| (figure.name.clone(), figure.environment.clone(), figure.median))
            .collect();
        for figure in &mut self.figures {
            let base = figure.base.as_ref().and_then(|base| {
                let same = |(name, environment, _): &&(String, String, f64)| {
                    name == base && *environment == figure.environment
                };
                medians.iter().find(same)
            });
            figure.ratio = base.filter(|(.., base)| *base > 0.0).map(|(.., b)| figure.median / b);
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Figures { xen, qemu, cpus, jobs, .. } = self;
        let rounds = self.figures.iter().map(|figure| figure.samples.len()).max().unwrap_or(0);
        let mut text = format!("{xen}\n{qemu}, {cpus} CPUs, -j {jobs}, medians of {rounds}\n\n");
        let mut environments: Vec<&str> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !environments.contains(&figure.environment.as_str()) {
                environments.push(&figure.environment);
            }
            if !names.contains(&figure.name.as_str()) {
                names.push(&figure.name);
            }
        }
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let _ = write!(text, "{:width$}", "");
        for environment in &environments {
            let _ = write!(text, "  {environment:>18}");
        }
        text.push('\n');
        for name in names {
            let mut line = format!("{name:width$}");
            for environment in &environments {
                let figure = self
                    .figures
                    .iter()
                    .find(|figure| figure.name == name && figure.environment == *environment);
                let cell = figure.map_or_else(String::new, cell);
                let _ = write!(line, "  {cell:>18}");
            }
            text += line.trim_end();
            text.push('\n');
        }
        text + "(x: ratio to the first line of the same kind)\n"
    }
}

fn cell(figure: &Figure) -> String {
    let time = shown(figure.median);
    figure.ratio.map_or_else(|| time.clone(), |ratio| format!("{time} ({ratio:.2}x)"))
}

/// Seconds in the unit that a person would choose.
fn shown(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 0.1 => format!("{s:.3} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s if s >= 1e-6 => format!("{:.1} µs", s * 1e6),
        s => format!("{:.0} ns", s * 1e9),
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
    }

    #[test]
    fn units() {
        let shown: Vec<String> = [12.34, 0.5, 0.0123, 8.6e-6, 2.9e-7].map(shown).into();
        assert_eq!(shown, ["12.3 s", "0.500 s", "12.3 ms", "8.6 µs", "290 ns"]);
    }

    #[test]
    fn ratios_stay_in_their_environment() {
        const FAST: Quantity = Quantity { name: "fast", base: None };
        const SLOW: Quantity = Quantity { name: "slow", base: Some("fast") };
        let mut figures = Figures::new("Xen", "QEMU", 2, 2);
        for (quantity, environment, ms) in [
            (FAST, Environment::Pv64, 100),
            (FAST, Environment::Pv64, 300),
            (FAST, Environment::Pv64, 110),
            (SLOW, Environment::Pv64, 220),
            (SLOW, Environment::Pvh64, 5),
        ] {
            figures.add(&quantity, Some(environment), Duration::from_millis(ms));
        }
        figures.add_named("call", None, None, Duration::from_nanos(250));
        figures.compare();
        let text = figures.text();
        assert_eq!(
            text.lines().skip(3).collect::<Vec<_>>(),
            [
                "                    pv64               pvh64                 all",
                "fast             0.110 s",
                "slow     0.220 s (2.00x)              5.0 ms",
                "call                                                      250 ns",
                "(x: ratio to the first line of the same kind)",
            ]
        );
    }
}
