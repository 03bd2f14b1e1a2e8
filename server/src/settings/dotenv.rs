//! Reads our lines of a `.env` file, literally. The lines of other programs are skipped, whatever they are: many programs
//! read such a file, and each has its own idea of quotes, escapes and `$`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::PREFIX;

/// Longest file in bytes. Ours would have some thousand.
const FILE_LEN_MAX: usize = 1 << 20;

/// What editors of Windows put before UTF-8, and before UTF-16.
const BOM: &[u8] = b"\xef\xbb\xbf";
const BOMS_OF_UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A line that sets a variable of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) value: String,
}

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unreadable {
    line: Option<usize>,
    name: Option<String>,
    why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, name, why } = self;
        match (line, name) {
            (Some(line), Some(name)) => write!(f, "line {line}, {name}: {why}"),
            (Some(line), None) => write!(f, "line {line}: {why}"),
            _ => f.write_str(why),
        }
    }
}

/// Our lines of the file, none when there is no such file.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, Unreadable> {
    let whole = |why: String| Unreadable { line: None, name: None, why };
    // A folder of that name is how some programs keep their own environment, such as Python's.
    if path.is_dir() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes)) {
        Ok(len) if len > FILE_LEN_MAX => Err(whole(format!("it has more than {FILE_LEN_MAX} bytes"))),
        Ok(_) => parse(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(whole(format!("it cannot be read: {error}"))),
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Line>, Unreadable> {
    if BOMS_OF_UTF_16.iter().any(|bom| bytes.starts_with(bom)) {
        let why = "it is UTF-16; save it as UTF-8".to_owned();
        return Err(Unreadable { line: None, name: None, why });
    }
    let mut lines: Vec<Line> = Vec::new();
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let Some((name, rest)) = ours(line) else { continue };
        let wrong = |why: String| Unreadable { line: Some(number), name: Some(name.clone()), why };
        let value = value_of(rest).map_err(|why| wrong(why.to_owned()))?;
        if let Some(earlier) = lines.iter().find(|line| line.name == name) {
            return Err(wrong(format!("it stands twice, first in line {}", earlier.number)));
        }
        lines.push(Line { number, value, name });
    }
    Ok(lines)
}

/// The name of a line of ours, and what follows it; a shell's `export` may stand before it.
fn ours(line: &[u8]) -> Option<(String, &[u8])> {
    let line = line.trim_ascii_start();
    let exported =
        line.strip_prefix(b"export").filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"));
    let line = exported.map_or(line, <[u8]>::trim_ascii_start);
    if !line.starts_with(PREFIX.as_bytes()) {
        return None;
    }
    let end =
        line.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    Some((String::from_utf8_lossy(name).into_owned(), rest))
}

/// The value behind a name: as it stands there, but for white space around it and one pair of quotes.
fn value_of(rest: &[u8]) -> Result<String, &'static str> {
    let value = rest.trim_ascii_start().strip_prefix(b"=").ok_or("there is no = behind it")?;
    let value = str::from_utf8(value).map_err(|_| "its value is not UTF-8")?.trim();
    let Some(quote) = value.chars().next().filter(|first| ['"', '\''].contains(first)) else {
        let has_comment = value.starts_with('#') || value.contains(" #") || value.contains("\t#");
        return if has_comment {
            Err("a comment needs a line of its own; if the # belongs to the value, put quotes around it")
        } else {
            Ok(value.to_owned())
        };
    };
    let (value, after) =
        value[1..].split_once(quote).ok_or("the quote at its beginning is not closed in its line")?;
    if after.is_empty() || after.trim_start().starts_with('#') {
        Ok(value.to_owned())
    } else {
        Err("something follows its closing quote")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(usize, String, String)> {
        let lines = parse(text.as_bytes()).unwrap();
        lines.into_iter().map(|Line { number, name, value }| (number, name, value)).collect()
    }

    fn value(line: &str) -> String {
        let mut values = values(line);
        assert_eq!(values.len(), 1, "{line}");
        let (number, name, value) = values.remove(0);
        assert_eq!((number, name.as_str()), (1, "LATCHKEY_ISSUER"));
        value
    }

    fn refusal(text: &[u8]) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn values_are_literal_but_for_one_pair_of_quotes() {
        for (line, expected) in [
            ("LATCHKEY_ISSUER=price$5x", "price$5x"),
            ("LATCHKEY_ISSUER=\"${HOME}\"", "${HOME}"),
            ("LATCHKEY_ISSUER=it's", "it's"),
            ("LATCHKEY_ISSUER=a\\nb", "a\\nb"),
            ("LATCHKEY_ISSUER='a b'", "a b"),
            ("LATCHKEY_ISSUER=\"it's # one\"", "it's # one"),
            ("LATCHKEY_ISSUER='a' # a comment", "a"),
            ("LATCHKEY_ISSUER=a#b", "a#b"),
            ("LATCHKEY_ISSUER=a=b", "a=b"),
            ("  export LATCHKEY_ISSUER = a b \r", "a b"),
            ("LATCHKEY_ISSUER=", ""),
            ("\u{feff}LATCHKEY_ISSUER=a", "a"),
        ] {
            assert_eq!(value(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_of_others_need_not_be_understood() {
        let text = "APP_NAME=My App\nOTHER=it's\n\n# LATCHKEY_DATA=x\nKEY=\"-----BEGIN\nabc\n\"\nexportLATCHKEY_X=1\n\
                    XLATCHKEY_DATA=y\nlatchkey_data=z\n???\nLATCHKEY_ISSUER=me\n";
        assert_eq!(values(text), [(12, "LATCHKEY_ISSUER".to_owned(), "me".to_owned())]);
        assert_eq!(parse(b"NAME=\xe4\xff\nLATCHKEY_ISSUER=me").unwrap().len(), 1);
    }

    #[test]
    fn a_line_of_ours_that_cannot_be_read_is_told_by_its_number_and_name() {
        assert_eq!(refusal(b"A=1\nLATCHKEY_ISSUER\n"), "line 2, LATCHKEY_ISSUER: there is no = behind it");
        assert_eq!(refusal(b"LATCHKEY_DATA: x"), "line 1, LATCHKEY_DATA: there is no = behind it");
        assert!(refusal(b"\nLATCHKEY_DATA='x\n'").starts_with("line 2, LATCHKEY_DATA: the quote"));
        assert!(refusal(b"LATCHKEY_DATA=\"a\"b").contains("follows its closing quote"));
        assert!(refusal(b"LATCHKEY_GRACE_SECS=8 # short").contains("a line of its own"));
        assert!(refusal(b"LATCHKEY_GRACE_SECS=# short").contains("a line of its own"));
        assert!(refusal(b"LATCHKEY_DATA=\xff").contains("not UTF-8"));
        let twice = refusal(b"LATCHKEY_DATA=a\n\nLATCHKEY_DATA=b");
        assert_eq!(twice, "line 3, LATCHKEY_DATA: it stands twice, first in line 1");
        assert!(refusal(b"\xff\xfeL\0").contains("UTF-16"));
    }

    #[test]
    fn no_file_and_a_folder_of_that_name_are_no_lines() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(Vec::new()));
        assert_eq!(read(&folder.path().join(".env")), Ok(Vec::new()));
        let long = folder.path().join("long");
        std::fs::write(&long, vec![b'\n'; FILE_LEN_MAX + 1]).unwrap();
        assert!(read(&long).unwrap_err().to_string().contains("more than"));
    }
}
