//! Where the logs of a run are, whose document lies on another host or in another folder than where
//! it was written.
//!
//! They were moved together, so the logs are looked for from the document's folder upwards, by as
//! much of their old path as is there.

use std::path::{Component, Path, PathBuf};

use super::Document;

/// A name alone does not tell whose logs these are: as much is needed as names the run and its boot.
const LEAST: usize = 2;

/// Makes the logs of each boot an absolute path: where they are, or else where they were written.
pub fn settle(document: &mut Document, file: &Path) {
    let file = file.canonicalize().unwrap_or_default();
    let all = document.run.directory.join(&document.run.logs);
    for boot in &mut document.boots {
        let written = all.join(&boot.logs);
        boot.logs = found(&written, &file).unwrap_or(written);
    }
}

/// The folder nearest to `file` that ends as `written` does.
fn found(written: &Path, file: &Path) -> Option<PathBuf> {
    let parts: Vec<Component<'_>> = written.components().skip(1).collect();
    let ends = || (LEAST..=parts.len()).rev().map(|length| &parts[parts.len() - length..]);
    let mut near = file
        .ancestors()
        .skip(1)
        .flat_map(|folder| ends().map(|end| folder.join(end.iter().collect::<PathBuf>())));
    near.find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_logs_with_the_longest_known_path() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["logs/D/1", "share-1/logs/D/1", "share-2/logs/D/1", "share-3/D/1", "x/1"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let found = |written: &str, file: &str| {
            let found = found(Path::new(written), &root.join(file))?;
            Some(found.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
        };
        for (written, file, at) in [
            ("/ci/logs/D/1", "share-1/r.json", Some("share-1/logs/D/1")),
            ("/ci/logs/D/1", "share-1/results/deep/r.json", Some("share-1/logs/D/1")),
            ("/ci/logs/D/1", "share-3/r.json", Some("share-3/D/1")),
            ("/ci/logs/D/1", "r.json", Some("logs/D/1")),
            ("/ci/share-2/logs/D/1", "r.json", Some("share-2/logs/D/1")),
            ("/ci/logs/E/1", "r.json", None),
            ("/1", "x/r.json", None),
        ] {
            assert_eq!(found(written, file).as_deref(), at, "{written} {file}");
        }
    }
}
