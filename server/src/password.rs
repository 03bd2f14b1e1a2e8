//! Passwords as people send them, and the rules a new one has to meet.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::user::Name;

/// Longest password in bytes, old or new.
pub const PASSWORD_LEN_MAX: usize = 256;

/// Fewest characters of a new password.
pub const PASSWORD_CHARS_MIN: usize = 15;

/// A password in clear text: wiped when dropped, shown to nobody.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes over `text`.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The exact bytes, which is what is hashed.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether no stored hash can be of this password.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > PASSWORD_LEN_MAX
    }

    /// What keeps this from being the new password of `name`; empty when nothing does.
    pub fn weaknesses(&self, name: &Name) -> Vec<Weakness> {
        let folded = caseless::default_case_fold_str(&self.0);
        let mut found = Vec::new();
        if self.0.chars().count() < PASSWORD_CHARS_MIN {
            found.push(Weakness::TooShort);
        }
        if self.is_too_long() {
            found.push(Weakness::TooLong);
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
#[serde(rename_all = "snake_case")]
pub enum Weakness {
    /// Fewer than [`PASSWORD_CHARS_MIN`] characters.
    TooShort,
    /// More than [`PASSWORD_LEN_MAX`] bytes.
    TooLong,
    /// The user's name stands in it.
    ContainsName,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(f, "the password needs at least {PASSWORD_CHARS_MIN} characters"),
            Self::TooLong => write!(f, "the password is longer than {PASSWORD_LEN_MAX} bytes"),
            Self::ContainsName => f.write_str("the password contains the user name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weaknesses(password: &str) -> Vec<Weakness> {
        Password::new(password.to_owned()).weaknesses(&"Zoë".parse().unwrap())
    }

    #[test]
    fn fifteen_characters_pass_and_fourteen_do_not_whatever_their_bytes() {
        assert_eq!(weaknesses(&"ä".repeat(15)), []);
        assert_eq!(weaknesses(&"ä".repeat(14)), [Weakness::TooShort]);
    }

    #[test]
    fn a_password_of_256_bytes_passes_and_of_257_does_not() {
        assert_eq!(weaknesses(&"x".repeat(256)), []);
        assert_eq!(weaknesses(&"x".repeat(257)), [Weakness::TooLong]);
    }

    #[test]
    fn a_password_must_not_contain_the_name_in_any_case() {
        assert_eq!(weaknesses("who is ZOË, really?"), [Weakness::ContainsName]);
        assert_eq!(weaknesses("zoë"), [Weakness::TooShort, Weakness::ContainsName]);
    }

    #[test]
    fn debug_hides_the_password() {
        assert_eq!(format!("{:?}", Password::new("secret".to_owned())), "Password(..)");
    }
}
