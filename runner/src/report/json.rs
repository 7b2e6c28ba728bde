//! `--json`: the document as it is.

pub use crate::base::output::json as text;

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::results::{Document, sample};

    #[test]
    fn all_that_there_is_to_show() {
        let document = sample::whole();
        let text = text(&document).unwrap();
        expect_file!["../../tests/fixtures/results/whole.json"].assert_eq(&text);
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document);
    }
}
