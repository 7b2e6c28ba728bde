//! `--html`: one self-contained page.
//!
//! A matrix of tests by Xen and environment leads to a section for each test: how each of its runs
//! went, with the evidence, and its cases side by side. All of it is there without script; the
//! script filters, and saves the browser the rows of cases that nobody looks at. The text that it shows comes from guests: it is escaped where it is put in.

mod appendix;
mod cases;
mod differences;
mod header;
mod link;
mod look;
mod matrix;
mod page;
mod test;

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::results::Document;
use crate::results::compare::Diff;
use page::{Page, key};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page, with links to logs from `folder`; `diff` is how the run differs from a baseline.
pub fn text(document: &Document, diff: Option<&Diff>, folder: &Path) -> String {
    let page = Page {
        document,
        diff,
        columns: document.columns(),
        tests: document.tests.iter().map(|test| (key(&test.unit), test)).collect(),
        folder,
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
                        (self.differences())
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
    use expect_test::{expect, expect_file};

    use super::*;
    use crate::base::status::Status;
    use crate::results::compare::Baseline;
    use crate::results::{Case, VerdictKind, sample};

    #[test]
    fn all_that_there_is_to_show() {
        let text = text(&sample::whole(), None, Path::new("/home/user/xtf/out"));
        // Style and script are files of their own: the markup is what is made here.
        let text = text.replace(STYLE, "").replace(SCRIPT, "").replace("><", ">\n<");
        expect_file!["../../../tests/fixtures/results/whole.html"].assert_eq(&text);
    }

    #[test]
    fn nothing_is_loaded_and_nothing_is_injected() {
        let text = text(&sample::whole(), None, Path::new("/home/user/xtf/out"));
        for outside in ["src=", "<link", "@import", "url(", "//cdn"] {
            assert!(!text.contains(outside), "{outside}");
        }
        assert!(text.contains("expected &quot;EINVAL&quot;, got &lt;success&gt; ]]&gt;"));
        assert!(!text.contains("<success>") && !text.contains("<two>"));
        assert_eq!(text.matches("<script>").count(), 1);
    }

    /// A run with `cases` in a test on two Xens in two environments each, of which the last failed.
    fn large(cases: usize) -> Document {
        let mut document = sample::whole();
        document.tests.retain(|test| test.unit.test == "stack");
        let case = document.tests[1].last.cases[0].clone();
        for test in &mut document.tests {
            let name = |number| format!("group/claim_{number}");
            let all = (0..cases).map(|number| Case { name: name(number), ..case.clone() });
            test.last.cases = all.collect();
            test.last.status = Status::Failure;
            for case in test.last.cases.iter_mut().rev().take(1000) {
                case.verdict = VerdictKind::Failure;
            }
        }
        document
    }

    /// What a browser with script makes elements of at once: all but the rows of cases.
    fn at_once(page: &str) -> String {
        let parts = page.split("<noscript>").enumerate();
        let outside = |(index, part): (usize, &str)| match index {
            0 => part.to_owned(),
            _ => part.split_once("</noscript>").unwrap().1.to_owned(),
        };
        parts.map(outside).collect()
    }

    #[test]
    fn a_page_of_many_cases_is_bounded() {
        let page = |cases| text(&large(cases), None, Path::new("/"));
        let (small, large) = (page(2000), page(50_000));
        let (few, many) = (at_once(&small), at_once(&large));
        // Only the numbers in it have more digits.
        assert!(many.len() < few.len() + 100, "{} and {}", few.len(), many.len());
        assert!(many.len() < 60_000, "{}", many.len());
        assert!(large.len() < 50_000 * 400, "{}", large.len());
        assert!(many.contains("and 980 more failed cases below"));
    }

    #[test]
    fn what_a_guest_or_xen_says_is_text() {
        let evil =
            "</script></noscript></tbody><img src=x onerror=alert(1)>\u{1b}[31m\"'</tr>&amp;";
        let mut document = sample::whole();
        for test in &mut document.tests {
            test.title = evil.into();
            let last = &mut test.last;
            last.reasons = vec![evil.into()];
            last.not_run = vec![evil.into()];
            for seen in [&mut last.evidence.diagnostics, &mut last.evidence.xen_words] {
                *seen = vec![evil.into()];
            }
            for case in &mut last.cases {
                case.name += evil;
                case.why = Some(evil.into());
            }
        }
        for boot in &mut document.boots {
            boot.version = Some(evil.into());
            boot.notes = vec![evil.into()];
        }
        let diff = Baseline::of(sample::whole()).against(&document, &[]);
        let page = text(&document, Some(&diff), Path::new("/"));
        assert!(!page.contains("<img"));
        let number = |tag: &str| page.matches(tag).count();
        assert_eq!((number("<script>"), number("</script>")), (1, 1));
        let page = page.replace(SCRIPT, "");
        let number = |tag: &str| page.matches(tag).count();
        for element in ["noscript", "tbody", "pre"] {
            let opened = number(&format!("<{element}>")) + number(&format!("<{element} "));
            assert_eq!(opened, number(&format!("</{element}>")), "{element}");
        }
        assert!(page.contains("&lt;/noscript&gt;&lt;/tbody&gt;&lt;img src=x onerror=alert(1)&gt;"));
        assert!(page.contains("&lt;/tr&gt;&amp;amp;"));
    }

    #[test]
    fn what_differs_stands_above_all() {
        let mut old = sample::whole();
        let elf =
            old.tests.iter_mut().find(|test| test.unit.xen == "4.20" && test.unit.test == "elf");
        elf.unwrap().last.status = Status::Success;
        old.run.image_sha256 = "17".into();
        let new = sample::whole();
        let diff = Baseline::of(old).against(&new, &sample::tests());
        let page = text(&new, Some(&diff), Path::new("/"));
        let (_, section) = page.split_once("<section class=\"differences\">").unwrap();
        let (section, rest) = section.split_once("</section>").unwrap();
        assert!(rest.contains("class=\"filters\""));
        expect![[r##"
            <h2>Compared with the run of 2026-01-02 03:04:05+00:00</h2>
            <p class="reason">image sha256 00ff is compared with image sha256 17</p>
            <p class="reason">1 regressed; 24 tests in both runs</p>
            <p class="reason">tests: 16 passed, 5 failed, 3 skipped; were: 17 passed, 4 failed, 3 skipped</p>
            <p class="reason">1 regression</p>
            <details open>
            <summary>
            <b>regressed</b> 1</summary>
            <ul>
            <li>
            <a href="#run-elf-4.20-pv64">4.20 pv64  elf</a>: SUCCESS -&gt; ERROR</li>
            </ul>
            </details>"##]].assert_eq(&section.replace("><", ">\n<"));
        assert!(page.contains("id=\"run-elf-4.20-pv64\""));
    }

    #[test]
    fn the_page_of_a_run_that_did_not_start_says_why() {
        let text = text(&sample::not_started(), None, Path::new("/home/user"));
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
        let text = text(&sample::stopped(), None, Path::new("/"));
        assert!(
            text.contains("This report is partial: </strong>stopped by SIGINT; 22 tests not run.")
        );
        assert_eq!(text.matches("cell missing").count(), 22);
        assert!(!text.contains("all passed"));
    }
}
