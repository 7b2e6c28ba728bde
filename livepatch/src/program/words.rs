//! Values that have a word in the text form and a number in the binary form.

/// One of a fixed set of values.
pub trait Word: Copy + PartialEq + 'static {
    /// All values with their words; the place in it is the number in the binary form.
    const WORDS: &'static [(&'static str, Self)];

    /// Its word.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("?", |(word, _)| word)
    }

    /// The value of a word.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }

    /// Its number.
    fn number(self) -> u8 {
        Self::WORDS.iter().position(|(_, value)| *value == self).unwrap_or(0) as u8
    }

    /// The value of a number; there is one for each, as the larger ones wrap around.
    fn from_number(number: u8) -> Self {
        Self::WORDS[usize::from(number) % Self::WORDS.len()].1
    }
}

/// Declares an enumeration and the word of each of its values.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $value,)+ }

        impl $crate::program::Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$value),)+];
        }
    };
}

pub(super) use words;
