//! `--html`: one self-contained page.
//!
//! A matrix of tests by Xen and environment leads to a section for each test: how each of its runs
//! went, with the evidence, and its cases side by side. All of it is there without script; the
//! script only filters. The text that it shows comes from guests: it is escaped where it is put in.

mod appendix;
mod header;
mod link;
mod look;
mod matrix;
mod page;
mod test;

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::results::Document;
use link::link_base;
use page::{Page, key};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page, with links to logs from `folder`.
pub fn text(document: &Document, folder: &Path) -> String {
    let page = Page {
        document,
        columns: document.columns(),
        tests: document.tests.iter().map(|test| (key(&test.unit), test)).collect(),
        logs: link_base(&document.run.logs, folder),
    };
    page.whole().into_string()
}

impl Page<'_> {
    fn whole(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title()) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.header())
                    main {
                        (self.filters())
                        (self.matrix())
                        (self.sections())
                        (self.expectations())
                        (self.boots())
                    }
                    footer { "xtf-runner " (self.document.run.runner) ", schema " (self.document.schema) }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::results::sample;

    #[test]
    fn all_that_there_is_to_show() {
        let text = text(&sample::whole(), Path::new("/home/user/xtf/out"));
        // Style and script are files of their own: the markup is what is made here.
        let text = text.replace(STYLE, "").replace(SCRIPT, "").replace("><", ">\n<");
        expect_file!["../../../tests/fixtures/results/whole.html"].assert_eq(&text);
    }

    #[test]
    fn nothing_is_loaded_and_nothing_is_injected() {
        let text = text(&sample::whole(), Path::new("/home/user/xtf/out"));
        for outside in ["src=", "<link", "@import", "url(", "//cdn"] {
            assert!(!text.contains(outside), "{outside}");
        }
        assert!(text.contains("expected &quot;EINVAL&quot;, got &lt;success&gt; ]]&gt;"));
        assert!(!text.contains("<success>") && !text.contains("<two>"));
        assert_eq!(text.matches("<script>").count(), 1);
    }

    #[test]
    fn the_page_of_a_run_that_did_not_start_says_why() {
        let text = text(&sample::not_started(), Path::new("/home/user"));
        assert!(text.contains(
            "This report is partial: </strong>the run did not start: apt-get is not installed; no test \
             was run."
        ));
        assert!(text.contains("<title>xtf-rs: partial</title>"));
        assert!(text.contains("<dd>69</dd>") && !text.contains("all passed"));
        assert!(
            !text.contains("sha256") && !text.contains("href=\"\"") && !text.contains(" with <")
        );
    }

    #[test]
    fn a_partial_page_says_so() {
        let text = text(&sample::stopped(), Path::new("/"));
        assert!(
            text.contains("This report is partial: </strong>stopped by SIGINT; 22 tests not run.")
        );
        assert_eq!(text.matches("cell missing").count(), 22);
        assert!(!text.contains("all passed"));
    }
}
