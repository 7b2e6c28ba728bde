//! Where links on the page lead: to parts of itself, and to the logs.

use std::fmt::Write;
use std::path::{Component, Path};

use crate::results::Unit;

/// The way from `folder` to `logs`: relative where both can be moved together.
pub(super) fn link_to(logs: &Path, folder: &Path) -> String {
    // As `folder`, without links.
    let logs = &logs.canonicalize().unwrap_or_else(|_| logs.to_owned());
    let together = |path: &Path| path.components().nth(1).map(|c| c.as_os_str().to_owned());
    let relative = pathdiff::diff_paths(logs, folder);
    let relative =
        relative.filter(|_| together(logs).is_some() && together(logs) == together(folder));
    match relative {
        Some(path) => encoded(&path),
        None => format!("file://{}", encoded(logs)),
    }
}

/// `path` as part of a link.
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for (index, part) in path.components().enumerate() {
        if part == Component::RootDir {
            continue;
        }
        if index > 0 {
            text.push('/');
        }
        for byte in part.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'+' => {
                    text.push(char::from(*byte));
                }
                other => {
                    let _ = write!(text, "%{other:02X}");
                }
            }
        }
    }
    text
}

pub(super) fn id(row: &str) -> String {
    format!("test-{row}")
}

pub(super) fn run_id(unit: &Unit) -> String {
    let Unit { xen, environment, test } = unit;
    format!("run-{test}-{}-{}", xen.replace(char::is_whitespace, "_"), environment.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_where_both_ends_can_be_moved_together() {
        let base = |logs: &str, folder: &str| link_to(Path::new(logs), Path::new(folder));
        assert_eq!(base("/home/u/x/logs/1", "/home/u/x"), "logs/1");
        assert_eq!(base("/home/u/x y/logs/#1", "/home/u/out"), "../x%20y/logs/%231");
        assert_eq!(base("/home/u/logs/1", "/tmp"), "file:///home/u/logs/1");
    }
}
