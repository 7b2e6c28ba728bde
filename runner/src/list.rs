//! `xtf-runner list`: the tests in the image, for people and for programs.

use std::fmt::Write;

use crate::cli::ListArgs;
use crate::config::Config;
use crate::exit::{Error, Exit, Result};
use crate::image::TestMeta;
use crate::run::{find_image, write_out};

/// Runs the command.
pub fn list(args: &ListArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    let image = find_image(&args.places, &config)?;
    let text = if args.json {
        let json = serde_json::to_string_pretty(&image.tests);
        json.map_err(|e| Error::Data(format!("cannot print the metadata as JSON: {e}")))? + "\n"
    } else {
        table(&image.tests)
    };
    write_out(&text)?;
    Ok(Exit::Success)
}

/// One line for each test, then what one needs to know to choose.
fn table(tests: &[TestMeta]) -> String {
    let width = tests.iter().map(|test| test.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for test in tests {
        let mut remarks = vec![format!("{} cases", test.cases.len()), test.environments.join(",")];
        if !test.needs.is_empty() {
            remarks.push(format!("needs {}", test.needs.join(", ")));
        }
        if test.own_boot {
            remarks.push("own boot".into());
        }
        if test.vcpus > 1 {
            remarks.push(format!("{} CPUs", test.vcpus));
        }
        if !test.default {
            remarks.push("only when named".into());
        }
        let _ = writeln!(text, "{:width$}  {} ({})", test.name, test.title, remarks.join("; "));
    }
    text
}
