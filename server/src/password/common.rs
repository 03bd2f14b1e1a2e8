//! Passwords that everybody tries first, and what is made of nothing else.
//!
//! At fifteen characters hardly anybody's password is on a list. So a password is common when all it adds to listed
//! ones is digits and signs, before, between or after them: `password12345678`, `iloveyou-sunshine!`. What repeats
//! counts once.

/// The listed passwords in the order of their bytes, one a line; `README.md` beside it says where they are from.
static LISTED: &str = include_str!("common.txt");

/// Characters of a listed password.
const LISTED_LEN: std::ops::RangeInclusive<usize> = 8..=20;

/// Whether a case-folded password is common.
pub(super) fn is_common(folded: &str) -> bool {
    let unit = repeated_unit(folded);
    let is_short_repeated = unit.len() < folded.len() && unit.chars().count() < *LISTED_LEN.start();
    is_short_repeated || is_made_of_listed(folded) || is_made_of_listed(unit)
}

/// The shortest start of `text` that gives all of it when it is written over and over; the last time may be cut short.
fn repeated_unit(text: &str) -> &str {
    let ends = text.char_indices().map(|(at, _)| at).skip(1);
    let mut units = ends.map(|end| text.split_at(end));
    units.find(|(_, rest)| text.starts_with(rest)).map_or(text, |(unit, _)| unit)
}

/// Whether `text` is listed passwords, at least one, and besides them nothing but what is no letter.
fn is_made_of_listed(text: &str) -> bool {
    // For each place whether the text up to there can be, and whether with a listed password in it.
    let mut places = vec![None; text.len() + 1];
    places[0] = Some(false);
    for (at, character) in text.char_indices() {
        let Some(has_listed) = places[at] else { continue };
        if !character.is_alphabetic() {
            let next = &mut places[at + character.len_utf8()];
            *next = Some(next.unwrap_or_default() || has_listed);
        }
        for len in LISTED_LEN {
            if text.get(at..at + len).is_some_and(is_listed) {
                places[at + len] = Some(true);
            }
        }
    }
    places[text.len()] == Some(true)
}

/// Whether this is a line of the list.
fn is_listed(word: &str) -> bool {
    let (mut low, mut high) = (0, LISTED.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = LISTED[low..middle].rfind('\n').map_or(low, |newline| low + newline + 1);
        let line = LISTED[start..].lines().next().unwrap_or_default();
        match line.cmp(word) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = start + line.len() + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_long_small_and_in_the_order_the_search_needs() {
        let lines: Vec<_> = LISTED.lines().collect();
        assert!(lines.len() >= 3000 && LISTED.len() <= 32 << 10, "{} in {}", lines.len(), LISTED.len());
        assert!(lines.is_sorted() && LISTED.is_ascii() && LISTED == LISTED.to_ascii_lowercase());
        for line in lines {
            assert!(LISTED_LEN.contains(&line.len()) && is_listed(line) && is_common(line), "{line}");
        }
    }

    #[test]
    fn the_neighbours_of_listed_words_are_not_listed() {
        for word in ["", "\n", "passwor", "passwordq", "password\n", "~~~~~~~~", "        ", "zzzzzzzzzzz"] {
            assert!(!is_listed(word), "{word:?}");
        }
        assert!(is_listed("password") && is_listed("iloveyou"));
    }

    #[test]
    fn listed_passwords_with_digits_and_signs_are_common() {
        for common in [
            "password",
            "password12345678",
            "12345678password",
            "!password 2026-11",
            "iloveyousunshine",
            "iloveyou, sunshine",
            "qwertyuiopasdfghjkl",
            "p\u{e4}".repeat(8).as_str(), // a few characters over and over
            "passwordpasswor",
            "password1password1",
            "aaaaaaaaaaaaaaa",
            "123456789012345",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn one_word_more_is_enough_not_to_be_common() {
        for good in [
            "password with salt",
            "iloveyou sunshine x",
            "correct horse battery staple",
            "86420975318642",
            "",
            "x",
        ] {
            assert!(!is_common(good), "{good}");
        }
    }

    #[test]
    fn any_text_has_a_unit_that_gives_it_again() {
        for (text, unit) in [
            ("abcabcab", "abc"),
            ("aaaa", "a"),
            ("abab a", "abab "),
            ("abc", "abc"),
            ("ääbää", "ääb"),
            ("", ""),
        ] {
            assert_eq!(repeated_unit(text), unit);
        }
    }
}
