//! The user rules: names as people type them and as they are compared, roles, and the record of a user.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::time::UnixMillis;

/// Longest user name in bytes of UTF-8, as typed and as compared.
pub const NAME_LEN_MAX: usize = 64;

/// Names a user for good: 64 random bits, so that nobody inherits the id of a deleted user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UserId(pub u64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl UserId {
    /// The id of a new user.
    pub fn new(random: [u8; 8]) -> Self {
        Self(u64::from_ne_bytes(random))
    }
}

impl FromStr for UserId {
    type Err = NoUserId;

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NoUserId> {
        let id = u64::from_str_radix(text, 16).map(Self).map_err(|_| NoUserId)?;
        if id.to_string() == text { Ok(id) } else { Err(NoUserId) }
    }
}

/// This is not the id of a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoUserId;

impl fmt::Display for NoUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user id has 16 hexadecimal digits")
    }
}

impl std::error::Error for NoUserId {}

/// What a user may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs in and manages their own sessions and password.
    User,
    /// Also administers users, sessions and the audit log.
    Admin,
}

impl Role {
    /// The role as it stands in tokens and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// Whether this role may do what `other` may.
    pub const fn covers(self, other: Self) -> bool {
        matches!((self, other), (Self::Admin, _) | (Self::User, Self::User))
    }
}

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        [Self::User, Self::Admin].into_iter().find(|role| role.as_str() == text).ok_or(NoRole)
    }
}

/// This is not a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRole;

impl fmt::Display for NoRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the roles are user and admin")
    }
}

impl std::error::Error for NoRole {}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user name to look up: NFC, 1 to 64 bytes, no control characters. White space at its ends is left out, because phone
/// keyboards add it, and no user has it there.
///
/// A new name has to meet more rules, those of [`chosen`](Self::chosen). Names of older stores may break them, and their
/// users are still found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    shown: String,
    folded: String,
}

impl Name {
    /// Reads the name of a user who is to be added. It has to show what it is: two names that look the same are a way to
    /// pose as somebody, and a name with an invisible character is one that nobody can type.
    ///
    /// Letters that merely look alike, such as Latin `a` and Cyrillic `а`, are not told apart here.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong.
    pub fn chosen(typed: &str) -> Result<Self, NameError> {
        let name: Self = typed.parse()?;
        // Left out when a name is looked up; whoever chooses one is told, and sees what it will be.
        if typed.trim() != typed {
            return Err(NameError::SpaceAtTheEnds);
        }
        if name.shown.chars().any(is_invisible) {
            return Err(NameError::Invisible);
        }
        let is_odd_space = |c: char| c != ' ' && c.is_whitespace();
        if name.shown.contains("  ") || name.shown.contains(is_odd_space) {
            return Err(NameError::Spacing);
        }
        if name.shown.starts_with(is_combining_mark) {
            return Err(NameError::LeadingMark);
        }
        Ok(name)
    }

    /// The name as its owner writes it.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The name as it is compared: case-folded, so that `Alice` and `alice` are one user.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

/// A name as a terminal may show it: what shows nothing, or would turn the text around, by its number.
pub fn visible(name: &str) -> String {
    let shown = |c: char| {
        if is_invisible(c) || c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }
    };
    name.chars().map(shown).collect()
}

/// A name, or a part of one, as names are compared: NFC, case-folded, NFC again.
pub fn folded(text: &str) -> String {
    let composed: String = text.nfc().collect();
    caseless::default_case_fold_str(&composed).nfc().collect()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(typed: &str) -> Result<Self, NameError> {
        let shown: String = typed.trim().nfc().collect();
        if shown.is_empty() {
            return Err(NameError::Empty);
        }
        // Folding can lengthen a name (`ß` becomes `ss`), and both forms have to fit their record.
        let folded = folded(&shown);
        if shown.len().max(folded.len()) > NAME_LEN_MAX {
            return Err(NameError::TooLong);
        }
        if shown.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter);
        }
        Ok(Self { shown, folded })
    }
}

/// Whether a character shows nothing by itself, or changes how others are shown: format characters, among them those
/// that turn the direction of text, fillers and selectors (RFC 8264 §9.13), and what is private or not assigned (§9.10).
///
/// The joiners U+200C and U+200D are among them: whether they are seen depends on the letters around and on the font.
/// Words of Persian that need one are written with a space or a hyphen in a name, and joined emoji cannot be used.
fn is_invisible(c: char) -> bool {
    let is_filler = matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1d159}' | '\u{e0000}'..='\u{e0fff}'
    );
    let category = c.general_category();
    is_filler
        || matches!(
            category,
            GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
        )
}

/// What is wrong with a user name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameError {
    /// It has no characters.
    Empty,
    /// It is longer than [`NAME_LEN_MAX`] bytes.
    TooLong,
    /// It holds a control character.
    ControlCharacter,
    /// It starts or ends with white space.
    SpaceAtTheEnds,
    /// It holds a character that shows nothing, or that changes how others are shown.
    Invisible,
    /// It holds two spaces in a row, or white space that is no plain space.
    Spacing,
    /// It starts with a mark that belongs onto a letter before it.
    LeadingMark,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the user name is empty",
            Self::TooLong => "the user name is longer than 64 bytes",
            Self::ControlCharacter => "the user name holds a control character",
            Self::SpaceAtTheEnds => "the user name starts or ends with white space",
            Self::Invisible => "the user name holds an invisible character",
            Self::Spacing => "the user name holds two spaces in a row, or white space that is no plain space",
            Self::LeadingMark => "the user name starts with a combining mark",
        })
    }
}

impl std::error::Error for NameError {}

/// The record of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The name as its owner writes it.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// A disabled user cannot sign in and has no living session.
    pub disabled: bool,
    /// Moves on whenever every session of the user has to end at once.
    pub auth_epoch: u32,
    /// When the user was added.
    pub created: UnixMillis,
    /// The password's hash as a PHC string, at most [`PHC_LEN_MAX`] bytes.
    pub password_hash: PasswordHash,
}

/// Longest password hash in bytes; ours have 97.
pub const PHC_LEN_MAX: usize = 128;

/// A PHC string of argon2id. It is no password, but whoever holds it can guess at home: it has no place in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl User {
    /// Ends every session of the user at once: each remembers the epoch it was opened in.
    pub fn end_all_sessions(&mut self) {
        self.auth_epoch = self.auth_epoch.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_case_folded_and_shown_as_typed() {
        let name: Name = "Straße@Example".parse().unwrap();
        assert_eq!(name.as_str(), "Straße@Example");
        assert_eq!(name.folded(), "strasse@example");
    }

    #[test]
    fn a_user_id_is_read_back_in_its_one_spelling_only() {
        let id = UserId(0x00ab_cdef_0123_4567);
        assert_eq!(id.to_string().parse(), Ok(id));
        for other in ["", "abcdef01234567", "00ABCDEF01234567", "+0abcdef01234567", "000abcdef01234567", "zz"]
        {
            assert_eq!(other.parse::<UserId>(), Err(NoUserId), "{other}");
        }
    }

    #[test]
    fn composed_and_decomposed_spellings_are_one_name() {
        let composed: Name = "Zo\u{eb}".parse().unwrap();
        let decomposed: Name = "zoe\u{308}".parse().unwrap();
        assert_eq!(composed.folded(), decomposed.folded());
    }

    #[test]
    fn a_name_of_64_bytes_passes_and_of_65_does_not() {
        assert!("x".repeat(64).parse::<Name>().is_ok());
        assert_eq!("x".repeat(65).parse::<Name>(), Err(NameError::TooLong));
    }

    #[test]
    fn a_name_that_grows_past_64_bytes_when_folded_is_refused() {
        // U+0149 takes 2 bytes, its folding 3.
        assert_eq!("\u{149}".repeat(32).parse::<Name>(), Err(NameError::TooLong));
    }

    #[test]
    fn empty_and_control_names_are_refused() {
        for empty in ["", " ", "\t\u{a0}"] {
            assert_eq!(empty.parse::<Name>(), Err(NameError::Empty));
        }
        assert_eq!("al\nice".parse::<Name>(), Err(NameError::ControlCharacter));
        assert!("alice in chains".parse::<Name>().is_ok());
    }

    #[test]
    fn white_space_at_the_ends_of_a_name_is_left_out_and_no_new_name_has_it() {
        for typed in ["alice ", " alice", "alice\n", "\u{a0}alice\u{3000}", "\talice  "] {
            assert_eq!(typed.parse::<Name>().unwrap().as_str(), "alice", "{typed:?}");
            assert_eq!(Name::chosen(typed), Err(NameError::SpaceAtTheEnds), "{typed:?}");
        }
        let longest = format!("{} ", "x".repeat(64));
        assert!(longest.parse::<Name>().is_ok());
    }

    #[test]
    fn a_new_name_shows_every_character_it_has() {
        let hidden = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{202a}\u{202e}\
                      \u{2060}\u{2066}\u{2069}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{e000}\u{e0001}\u{e0100}\u{378}";
        for c in hidden.chars() {
            let name = format!("ad{c}min");
            assert_eq!(Name::chosen(&name), Err(NameError::Invisible), "{c:?}");
        }
        for good in [
            "Zo\u{eb}",
            "zoe\u{308}",
            "אבגד",
            "علی",
            "李小龍",
            "नमस्ते",
            "😀",
            "o'brien-smith_2@x.example",
            "a b",
        ] {
            assert!(Name::chosen(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_new_name_has_plain_single_spaces_and_starts_with_no_mark() {
        for name in ["a\u{a0}b", "a\u{2003}b", "a\u{3000}b", "a  b"] {
            assert_eq!(Name::chosen(name), Err(NameError::Spacing), "{name:?}");
        }
        assert_eq!(Name::chosen("\u{301}alice"), Err(NameError::LeadingMark));
        assert!(Name::chosen("a\u{301}lice").is_ok());
    }

    #[test]
    fn a_terminal_shows_what_a_name_hides() {
        assert_eq!(visible("\u{202e}al\u{200b}ice Zo\u{eb}"), "\\u{202e}al\\u{200b}ice Zo\u{eb}");
    }

    #[test]
    fn a_name_of_an_older_store_is_still_found() {
        for stored in ["ad\u{200b}min", "\u{202e}nimda", "a\u{a0}b", "a  b", "\u{3164}"] {
            assert_eq!(stored.parse::<Name>().unwrap().as_str(), stored);
        }
    }
}
