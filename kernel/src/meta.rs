//! Test declarations as JSON lines, written at compile time, so that the image's section
//! `.xtf.meta` says what is in it without being booted.

use protocol::metadata::is_test_name;

use crate::test::Test;

/// A writer that only counts in a first pass and fills an array in a second.
struct Json<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Json<N> {
    const fn raw(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() {
            if N != 0 {
                self.bytes[self.used] = text[i];
            }
            self.used += 1;
            i += 1;
        }
        self
    }

    const fn string(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            assert!(
                bytes[i] >= b' ' && bytes[i] < 0x7f && bytes[i] != b'"' && bytes[i] != b'\\',
                "names and titles are printable ASCII without quotes and backslashes"
            );
            i += 1;
        }
        self.raw("\"").raw(text).raw("\"")
    }

    /// A case's name, which may stand in the command line's list of tests.
    const fn case(self, name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            let special = matches!(bytes[i], b' ' | b',' | b'*' | b'?' | b'[' | b'!');
            assert!(!special, "a case's name must not contain blanks or , * ? [ !");
            i += 1;
        }
        self.string(name)
    }

    const fn key(self, name: &str) -> Self {
        self.raw(",").string(name).raw(":")
    }

    const fn flag(self, value: bool) -> Self {
        self.raw(if value { "true" } else { "false" })
    }

    const fn number(self, value: u32) -> Self {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let rest = if value >= 10 { self.number(value / 10) } else { self };
        rest.raw(DIGITS[(value % 10) as usize])
    }

    const fn test(self, test: &Test) -> Self {
        assert!(is_test_name(test.name), "a test's name has letters, digits and -_.~+");
        assert!(!test.title.is_empty(), "a test has a title");
        assert!(!test.cases.is_empty(), "a test without cases cannot fail");
        let mut json = self
            .raw("{\"name\":")
            .string(test.name)
            .key("title")
            .string(test.title)
            .key("category")
            .string(test.category.name());
        json = json.key("environments").raw("[");
        let mut i = 0;
        while i < test.environments.len() {
            json = json.raw(if i == 0 { "" } else { "," }).string(test.environments[i].name());
            i += 1;
        }
        json = json.raw("]").key("needs").raw("[");
        i = 0;
        while i < test.needs.len() {
            json = json.raw(if i == 0 { "" } else { "," }).string(test.needs[i].name());
            i += 1;
        }
        json = json
            .raw("]")
            .key("own_boot")
            .flag(test.own_boot)
            .key("vcpus")
            .number(test.vcpus)
            .key("timeout_s")
            .number(test.timeout_s)
            .key("default")
            .flag(test.default)
            .key("cases")
            .raw("[");
        i = 0;
        while i < test.cases.len() {
            json = json.raw(if i == 0 { "" } else { "," }).case(test.cases[i].name);
            i += 1;
        }
        json.raw("]}\n")
    }

    const fn tests(mut self, tests: &[&Test]) -> Self {
        let mut i = 0;
        while i < tests.len() {
            self = self.test(tests[i]);
            i += 1;
        }
        self
    }
}

/// Length in bytes of the lines for `tests`.
pub const fn size(tests: &[&Test]) -> usize {
    Json::<0> { bytes: [], used: 0 }.tests(tests).used
}

/// The lines for `tests`; `N` is their [`size`].
pub const fn lines<const N: usize>(tests: &[&Test]) -> [u8; N] {
    Json::<N> { bytes: [0; N], used: 0 }.tests(tests).bytes
}

/// Declares the tests of an image, in the order in which they run, and its entry point.
///
/// Each argument is a module with a constant `TEST`.
#[macro_export]
macro_rules! registry {
    ($($($module:ident)::+),+ $(,)?) => {
        const TESTS: &[&$crate::Test] = &[$(&$($module)::+::TEST),+];

        #[used]
        #[unsafe(link_section = ".xtf.meta")]
        static META: [u8; $crate::meta::size(TESTS)] = $crate::meta::lines(TESTS);

        #[used]
        #[unsafe(link_section = ".xtf.cmdline")]
        static STAMP: $crate::cmdline::Stamp = $crate::cmdline::Stamp::EMPTY;

        #[unsafe(no_mangle)]
        fn xtf_main() -> ! {
            $crate::run::run(TESTS, STAMP.text())
        }
    };
}
