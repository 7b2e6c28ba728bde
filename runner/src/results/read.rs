//! Reading a document that an earlier run wrote, and saying where it is wrong.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::document::{Document, SCHEMA};
use crate::base::exit::{Error, IoContext, Result};
use crate::base::plain::plain;

impl Document {
    /// Reads a document that `--json` wrote.
    pub fn read(path: &Path) -> Result<Document> {
        let text = fs::read_to_string(path).io("read", path)?;
        Document::parse(&text)
            .map_err(|(line, why)| Error::Data(format!("{}:{line}: {why}", path.display())))
    }

    /// The document in `text`, or the line that is wrong and why.
    pub fn parse(text: &str) -> std::result::Result<Document, (usize, String)> {
        #[derive(Deserialize)]
        struct Form {
            schema: Option<String>,
        }
        let at = |e: serde_json::Error| {
            (e.line().max(1), format!("{e}; is this a file of `run --json`?"))
        };
        // The form first: a later one has other keys, and should not be blamed for them.
        let form: Form = serde_json::from_str(text).map_err(at)?;
        match form.schema.as_deref() {
            Some(SCHEMA) => {
                let document = serde_json::from_str(text).map_err(at)?;
                Ok(if is_odd(text) { tamed(document).map_err(at)? } else { document })
            }
            Some(other) => {
                let line = text.lines().position(|line| line.contains("\"schema\"")).unwrap_or(0);
                Err((line + 1, format!("its schema is `{other}`, this runner reads `{SCHEMA}`")))
            }
            None => Err((1, "no `schema`; is this from --json?".into())),
        }
    }
}

/// Whether there may be control characters in the strings of a document, which are lines.
fn is_odd(text: &str) -> bool {
    let escaped = ["\\u", "\\n", "\\r", "\\b", "\\f"];
    escaped.iter().any(|escape| text.contains(escape))
        || text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace())
}

/// Somebody else may have written the document: no string of it gives a terminal commands.
fn tamed(document: Document) -> serde_json::Result<Document> {
    fn tame(value: &mut Value) {
        match value {
            Value::String(text) => *text = plain(text),
            Value::Array(all) => all.iter_mut().for_each(tame),
            Value::Object(all) => all.values_mut().for_each(tame),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(document)?;
    tame(&mut value);
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    #[test]
    fn no_string_gives_a_terminal_commands() {
        let mut document = sample::whole();
        let odd = "a\x1b[2J\u{9b}2J\nb";
        document.tests[0].unit.test = odd.into();
        document.tests[0].last.cases[0].name = odd.into();
        document.run.host.name = odd.into();
        let text = serde_json::to_string(&document).unwrap();
        let read = Document::parse(&text).unwrap();
        let tame = "a\u{fffd}[2J\u{fffd}2J\u{fffd}b";
        assert_eq!(read.tests[0].unit.test, tame);
        assert_eq!(read.tests[0].last.cases[0].name, tame);
        assert_eq!(read.run.host.name, tame);
        // What has nothing of it stays as it is.
        let text = serde_json::to_string(&sample::whole()).unwrap();
        assert_eq!(Document::parse(&text).unwrap(), sample::whole());
    }

    #[test]
    fn times_are_read_as_they_were_written() {
        let mut document = sample::stopped();
        for n in 1..1000_u32 {
            document.run.elapsed_s = f64::from(n) / 7.0;
            let text = serde_json::to_string(&document).unwrap();
            assert_eq!(Document::parse(&text).unwrap().run.elapsed_s, document.run.elapsed_s);
        }
    }

    #[test]
    fn mistakes_are_placed() {
        let good = serde_json::to_string_pretty(&sample::stopped()).unwrap();
        assert!(Document::parse(&good).is_ok());
        // Behind a whole line: half a number is another mistake.
        let lines: Vec<&str> = good.lines().collect();
        let half = lines[..lines.len() / 2].join("\n");
        for (text, line, why) in [
            (half.clone(), half.lines().count(), "EOF"),
            (good.replace("xtf-rs/1", "xtf-rs/2"), 2, "`xtf-rs/2`, this runner reads `xtf-rs/1`"),
            ("{}".into(), 1, "no `schema`"),
            ("[]".into(), 1, "invalid"),
            (String::new(), 1, "EOF"),
            (good.replacen("\"boots\": [", "\"boots\": 7, \"x\": [", 1), 28, "invalid type"),
        ] {
            let (at, said) = Document::parse(&text).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert_eq!(at, line, "{said}");
        }
    }
}
