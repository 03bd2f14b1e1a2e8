//! Passwords as people send them, and the rules a new one has to meet.

mod common;

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use zeroize::Zeroizing;

use crate::user::Name;

/// Longest password in bytes, old or new.
pub const PASSWORD_LEN_MAX: usize = 256;

/// Fewest characters of a new password, unless an administrator says otherwise.
pub const PASSWORD_CHARS_MIN: usize = 15;

/// What an administrator may say instead; fewer than eight are guessed in no time.
pub const PASSWORD_CHARS_MIN_RANGE: std::ops::RangeInclusive<usize> = 8..=64;

/// How many times longer NFC makes a text in UTF-8 at most (Unicode Standard Annex #15, §1).
const NFC_GROWTH_MAX: usize = 3;

/// A password in clear text: wiped when dropped, shown to nobody.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes over `text`.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// What is hashed: the same text however keyboards and systems spell it, by the rules of RFC 8265 §4.2.2: spaces of
    /// any kind are plain ones, and letters are composed (NFC). Case and width count.
    pub fn prepared(&self) -> Zeroizing<String> {
        if self.0.is_ascii() {
            return self.0.clone();
        }
        // At its longest from the start, so that no copy stays behind where a text that grew was before.
        let mut prepared = Zeroizing::new(String::with_capacity(self.0.len() * NFC_GROWTH_MAX));
        let is_space = |c: char| c.general_category() == GeneralCategory::SpaceSeparator;
        prepared.extend(self.0.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc());
        prepared
    }

    /// Whether no stored hash can be of this password.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > PASSWORD_LEN_MAX
    }

    /// What keeps this from being the new password of `name`, of at least `chars_min` characters; empty when nothing
    /// does.
    pub fn weaknesses(&self, name: &Name, chars_min: usize) -> Vec<Weakness> {
        // Nothing else is said of what is too long to be looked at.
        if self.is_too_long() {
            return vec![Weakness::TooLong];
        }
        let prepared = self.prepared();
        let folded = Zeroizing::new(caseless::default_case_fold_str(&prepared));
        let mut found = Vec::new();
        if prepared.chars().count() < chars_min {
            found.push(Weakness::TooShort(chars_min));
        }
        if common::is_common(&folded) {
            found.push(Weakness::Common);
        }
        if folded.contains(name.folded()) {
            found.push(Weakness::ContainsName);
        }
        found
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What is wrong with a new password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Weakness {
    /// Fewer than so many characters.
    TooShort(usize),
    /// More than [`PASSWORD_LEN_MAX`] bytes.
    TooLong,
    /// A common password, or made of nothing but common ones, digits and signs.
    Common,
    /// The user's name stands in it.
    ContainsName,
}

impl Weakness {
    /// The weakness in one word, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort(_) => "too_short",
            Self::TooLong => "too_long",
            Self::Common => "common",
            Self::ContainsName => "contains_name",
        }
    }

    /// What is wrong, in one line.
    pub fn describe(weaknesses: &[Self]) -> String {
        let all: Vec<_> = weaknesses.iter().map(Self::to_string).collect();
        all.join(", and ")
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(chars_min) => write!(f, "the password needs at least {chars_min} characters"),
            Self::TooLong => write!(f, "the password is longer than {PASSWORD_LEN_MAX} bytes"),
            Self::Common => f.write_str(
                "the password is a common one, or made of nothing but common ones, digits, signs and repetitions",
            ),
            Self::ContainsName => f.write_str("the password contains the user name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weaknesses(password: &str) -> Vec<Weakness> {
        Password::new(password.to_owned()).weaknesses(&"Zoë".parse().unwrap(), PASSWORD_CHARS_MIN)
    }

    #[test]
    fn fifteen_characters_pass_and_fourteen_do_not_whatever_their_bytes() {
        assert_eq!(weaknesses("äöüäßöüääöüßäöü"), []);
        assert_eq!(weaknesses("äöüäßöüääöüßäö"), [Weakness::TooShort(15)]);
    }

    #[test]
    fn composed_and_decomposed_letters_and_spaces_of_any_kind_are_one_password() {
        let prepared = |text: &str| Password::new(text.to_owned()).prepared();
        for (typed, hashed) in [
            ("cafe\u{301} cre\u{300}me", "caf\u{e9} cr\u{e8}me"),
            ("caf\u{e9}\u{a0}cr\u{e8}me", "caf\u{e9} cr\u{e8}me"),
            ("a\u{3000}b\u{2003}c", "a b c"),
            ("\u{212b}ngstr\u{f6}m", "\u{c5}ngstr\u{f6}m"),
            ("\u{1100}\u{1161}", "\u{ac00}"),
            (" plain ASCII\t", " plain ASCII\t"),
        ] {
            assert_eq!(*prepared(typed), hashed);
        }
        for (one, other) in
            [("caf\u{e9}", "cafe"), ("\u{ff21}", "A"), ("\u{c9}", "\u{e9}"), ("\u{fb01}", "fi")]
        {
            assert_ne!(prepared(one), prepared(other), "width, case and compatibility count");
        }
    }

    #[test]
    fn characters_are_counted_as_they_are_hashed_and_bytes_as_they_were_sent() {
        let decomposed = "e\u{301}".repeat(15);
        assert!(!weaknesses(&decomposed).contains(&Weakness::TooShort(15)));
        assert!(weaknesses(&"e\u{301}".repeat(14)).contains(&Weakness::TooShort(15)));
        assert_eq!(weaknesses(&"e\u{301}".repeat(86)), [Weakness::TooLong], "258 bytes, 172 composed");
        let longest = "\u{1d160}".repeat(64);
        assert!(!weaknesses(&longest).contains(&Weakness::TooLong), "256 bytes, 768 in NFC");
        assert!(Password::new(longest).prepared().len() <= 256 * NFC_GROWTH_MAX);
    }

    #[test]
    fn the_fewest_characters_are_what_the_administrator_says() {
        let password = Password::new("8 eights".to_owned());
        let name = "Zoë".parse().unwrap();
        assert_eq!(password.weaknesses(&name, 8), []);
        assert_eq!(password.weaknesses(&name, 9), [Weakness::TooShort(9)]);
    }

    #[test]
    fn a_password_of_256_bytes_passes_and_of_257_does_not() {
        let of_len =
            |len: usize| (0..len).map(|n| char::from(b'a' + (n * n / 7 % 26) as u8)).collect::<String>();
        assert_eq!(weaknesses(&of_len(256)), []);
        assert_eq!(weaknesses(&of_len(257)), [Weakness::TooLong]);
    }

    #[test]
    fn a_password_must_not_contain_the_name_in_any_case() {
        assert_eq!(weaknesses("who is ZOË, really?"), [Weakness::ContainsName]);
        assert_eq!(weaknesses("zoë"), [Weakness::TooShort(15), Weakness::ContainsName]);
    }

    #[test]
    fn a_common_password_is_common_in_any_case_and_also_when_it_is_long_enough() {
        assert_eq!(weaknesses("PassWord"), [Weakness::TooShort(15), Weakness::Common]);
        assert_eq!(weaknesses("Password-2026-Sunshine"), [Weakness::Common]);
        assert_eq!(weaknesses("passwordpassword"), [Weakness::Common]);
    }

    #[test]
    fn debug_hides_the_password() {
        assert_eq!(format!("{:?}", Password::new("secret".to_owned())), "Password(..)");
    }
}
