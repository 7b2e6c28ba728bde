//! `--json`: the document as it is.

use crate::base::exit::{Error, Result};
use crate::results::Document;

/// The document in JSON, for people to read as well.
pub fn text(document: &Document) -> Result<String> {
    let text = serde_json::to_string_pretty(document);
    text.map(|text| text + "\n")
        .map_err(|e| Error::Data(format!("cannot write the results as JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::results::sample;

    #[test]
    fn all_that_there_is_to_show() {
        let document = sample::whole();
        let text = text(&document).unwrap();
        expect_file!["../../tests/fixtures/results/whole.json"].assert_eq(&text);
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document);
    }
}
