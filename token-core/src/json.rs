//! A strict reader of one JSON object (RFC 8259): iterative, of fixed depth, borrowing from the document.
//!
//! Stricter than the RFC must be: a member name comes once in an object however it is spelled (RFC 7519 §4), escapes
//! stand for whole characters only, and depth and names are limited. It has no floats; numbers stay text.

use heapless::{String, Vec};

/// How many objects and arrays can be open at a time in a header or in claims, the outermost included.
pub const DEPTH_MAX: usize = 16;

/// How many member names are remembered at a time, over all open objects, to refuse a second one of the same name.
/// Registered names are not counted: each has a place of its own.
pub const NAMES_MAX: usize = 64;

const _: () = assert!(NAMES_MAX <= u8::MAX as usize, "a container counts the names before it in a u8");

/// Why a document was not read. As wide as a [`Span`], so that either travels in the same register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Fault {
    /// Not JSON, not strictly, or beyond a limit.
    NotStrict,
    /// A value is not of the type that was asked for.
    WrongType,
}

/// Where a string stands in its document, without the quotes. Its escapes are checked, but still there.
///
/// Packed, so that the reader hands it out in a register: as three fields it went through memory, and reading a
/// payload took half as long again. From the top: 16 bits of start, 15 of length, 1 for having escapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(u32);

/// Longest document that is read, in bytes: one whose places fit into a [`Span`].
const DOCUMENT_LEN_MAX: usize = 0x7FFF;
const _: () = assert!(crate::TOKEN_LEN_MAX <= DOCUMENT_LEN_MAX, "no token may be too long for the reader");

impl Span {
    /// The caller sees to it that both places are within [`DOCUMENT_LEN_MAX`].
    fn new(start: usize, end: usize, is_escaped: bool) -> Self {
        Span((start as u32) << 16 | (end.saturating_sub(start) as u32) << 1 | u32::from(is_escaped))
    }

    fn start(self) -> usize {
        (self.0 >> 16) as usize
    }

    fn end(self) -> usize {
        self.start() + (self.0 as u16 >> 1) as usize
    }

    fn is_escaped(self) -> bool {
        self.0 & 1 == 1
    }

    /// The string as it is written; empty when `document` is not the one the span was read from.
    pub(crate) fn raw(self, document: &str) -> &str {
        document.get(self.start()..self.end()).unwrap_or_default()
    }

    /// The string with what is known about its escapes.
    pub(crate) fn of(self, document: &str) -> Text<'_> {
        Text { raw: self.raw(document), is_escaped: self.is_escaped() }
    }

    /// Undoes the string's escapes where it stands, fills what that leaves over with spaces, and shrinks the span.
    ///
    /// No escape is shorter than the character it stands for, so what is written never overtakes what is read.
    pub(crate) fn unescape(&mut self, document: &mut [u8]) {
        if !self.is_escaped() {
            return;
        }
        let string = document.get_mut(self.start()..self.end()).unwrap_or_default();
        let len = undo_escapes(string, |_| true);
        string.iter_mut().skip(len).for_each(|byte| *byte = b' ');
        *self = Span::new(self.start(), self.start() + len, false);
    }
}

/// A string of a document, compared and read as if it had no escapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    raw: &'a str,
    is_escaped: bool,
}

impl<'a> Text<'a> {
    /// Whether this string is `plain`.
    pub(crate) fn is(self, plain: &str) -> bool {
        if self.is_escaped { self.chars().eq(plain.chars()) } else { self.raw == plain }
    }

    /// This string as written when it has no escapes, else unescaped into `scratch`; nothing if that is too small.
    pub(crate) fn plain<'s, const N: usize>(self, scratch: &'s mut String<N>) -> Option<&'s str>
    where
        'a: 's,
    {
        if !self.is_escaped {
            return Some(self.raw);
        }
        self.chars().try_for_each(|character| scratch.push(character).ok())?;
        Some(scratch)
    }

    fn is_same(self, other: Text<'_>) -> bool {
        if other.is_escaped { self.chars().eq(other.chars()) } else { self.is(other.raw) }
    }

    fn chars(self) -> impl Iterator<Item = char> + 'a {
        let mut rest = self.raw;
        core::iter::from_fn(move || {
            let (character, len) = match rest.strip_prefix('\\') {
                Some(escaped) => escape(escaped.as_bytes()).map(|(character, len)| (character, 1 + len))?,
                None => rest.chars().next().map(|character| (character, character.len_utf8()))?,
            };
            rest = rest.get(len..)?;
            Some(character)
        })
    }
}

/// The members of the object that a document consists of, read one after the other.
///
/// After each name comes exactly one call for its value. The caller refuses a second member of a name it knows, by
/// finding its place taken; [`skip_unknown`](Object::skip_unknown) sees to all the others.
pub(crate) struct Object<'a> {
    cursor: Cursor<'a>,
    is_first: bool,
    names: Vec<Span, NAMES_MAX>,
}

impl<'a> Object<'a> {
    /// Opens the object; everything after it is checked when [`next_name`](Object::next_name) comes to its end.
    pub(crate) fn open(document: &'a str) -> Result<Self, Fault> {
        if document.len() > DOCUMENT_LEN_MAX {
            return Err(Fault::NotStrict);
        }
        let mut cursor = Cursor { document, at: 0 };
        cursor.skip_whitespace();
        cursor.expect(b'{')?;
        Ok(Object { cursor, is_first: true, names: Vec::new() })
    }

    /// The name of the next member; nothing once the object, and with it the document, has ended as it should.
    pub(crate) fn next_name(&mut self) -> Result<Option<Span>, Fault> {
        self.cursor.skip_whitespace();
        if self.cursor.eat(b'}') {
            self.cursor.skip_whitespace();
            return if self.cursor.peek().is_none() { Ok(None) } else { Err(Fault::NotStrict) };
        }
        if !self.is_first {
            self.cursor.expect(b',')?;
        }
        self.is_first = false;
        self.cursor.name().map(Some)
    }

    /// The value of the member just named, if it is a string.
    pub(crate) fn string(&mut self) -> Result<Span, Fault> {
        self.cursor.skip_whitespace();
        if self.cursor.eat(b'"') { self.cursor.string() } else { Err(Fault::WrongType) }
    }

    /// The value of the member just named, if it is a number, as it is written.
    pub(crate) fn number(&mut self) -> Result<&'a str, Fault> {
        self.cursor.skip_whitespace();
        match self.cursor.peek() {
            Some(b'-' | b'0'..=b'9') => self.cursor.number(),
            _ => Err(Fault::WrongType),
        }
    }

    /// The value of the member just named, if it is a string or an array of at most `N` strings.
    pub(crate) fn strings<const N: usize>(&mut self) -> Result<Vec<Span, N>, Fault> {
        let mut strings = Vec::new();
        self.cursor.skip_whitespace();
        if !self.cursor.eat(b'[') {
            strings.push(self.string()?).map_err(|_| Fault::NotStrict)?;
            return Ok(strings);
        }
        self.cursor.skip_whitespace();
        if self.cursor.eat(b']') {
            return Ok(strings);
        }
        loop {
            strings.push(self.string()?).map_err(|_| Fault::NotStrict)?;
            self.cursor.skip_whitespace();
            if self.cursor.eat(b']') {
                return Ok(strings);
            }
            self.cursor.expect(b',')?;
        }
    }

    /// Checks the value of the member just named, whatever it is, and that the name is new among its siblings.
    pub(crate) fn skip_unknown(&mut self, name: Span) -> Result<(), Fault> {
        self.remember(name, 0)?;
        let names_before = self.names.len();
        let mut open = Vec::<Container, { DEPTH_MAX - 1 }>::new();
        loop {
            self.cursor.skip_whitespace();
            match self.cursor.peek() {
                Some(b'{') => {
                    self.cursor.advance(1);
                    self.cursor.skip_whitespace();
                    if !self.cursor.eat(b'}') {
                        let names_from = self.names.len();
                        open.push(Container::Object { names_from: names_from as u8 })
                            .map_err(|_| Fault::NotStrict)?;
                        let name = self.cursor.name()?;
                        self.remember(name, names_from)?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.cursor.advance(1);
                    self.cursor.skip_whitespace();
                    if !self.cursor.eat(b']') {
                        open.push(Container::Array).map_err(|_| Fault::NotStrict)?;
                        continue;
                    }
                }
                _ => self.cursor.scalar()?,
            }
            if !self.go_on_after_value(&mut open)? {
                self.names.truncate(names_before);
                return Ok(());
            }
        }
    }

    /// Closes what ends here; says whether another value follows inside what is still open.
    fn go_on_after_value(&mut self, open: &mut Vec<Container, { DEPTH_MAX - 1 }>) -> Result<bool, Fault> {
        while let Some(&container) = open.last() {
            self.cursor.skip_whitespace();
            match (container, self.cursor.take()) {
                (Container::Array, Some(b',')) => return Ok(true),
                (Container::Object { names_from }, Some(b',')) => {
                    let name = self.cursor.name()?;
                    self.remember(name, usize::from(names_from))?;
                    return Ok(true);
                }
                (Container::Array, Some(b']')) => {}
                (Container::Object { names_from }, Some(b'}')) => {
                    self.names.truncate(usize::from(names_from));
                }
                _ => return Err(Fault::NotStrict),
            }
            open.pop();
        }
        Ok(false)
    }

    /// Keeps the name of a member, unless the object whose names begin at `names_from` has it already.
    fn remember(&mut self, name: Span, names_from: usize) -> Result<(), Fault> {
        let document = self.cursor.document;
        for &sibling in self.names.iter().skip(names_from) {
            if sibling.of(document).is_same(name.of(document)) {
                return Err(Fault::NotStrict);
            }
        }
        self.names.push(name).map_err(|_| Fault::NotStrict)
    }
}

/// What encloses the value being skipped.
#[derive(Clone, Copy)]
enum Container {
    Array,
    /// An object; its names are those remembered from this one on.
    Object {
        names_from: u8,
    },
}

/// The place in the document, and the tokens that can begin there.
struct Cursor<'a> {
    document: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.document.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.document.as_bytes().get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.advance(1);
        Some(byte)
    }

    /// Goes on by `len` bytes, all of them seen, so this stays within the document.
    fn advance(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.advance(1);
        }
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.eat(byte) { Ok(()) } else { Err(Fault::NotStrict) }
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.advance(1);
        }
    }

    /// A member name and the colon after it.
    fn name(&mut self) -> Result<Span, Fault> {
        self.skip_whitespace();
        self.expect(b'"')?;
        let name = self.string()?;
        self.skip_whitespace();
        self.expect(b':')?;
        Ok(name)
    }

    /// The string whose opening quote was just read.
    fn string(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        let mut is_escaped = false;
        loop {
            self.advance(plain_len(self.rest()));
            match self.take() {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    let (_, len) = escape(self.rest()).ok_or(Fault::NotStrict)?;
                    self.advance(len);
                }
                _ => return Err(Fault::NotStrict),
            }
        }
        // `open` has seen to it that the document is short enough.
        Ok(Span::new(start, self.at.saturating_sub(1), is_escaped))
    }

    /// A value that is neither an object nor an array.
    fn scalar(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => {
                self.advance(1);
                self.string().map(|_| ())
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            _ => self.literal("null"),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), Fault> {
        if !self.rest().starts_with(literal.as_bytes()) {
            return Err(Fault::NotStrict);
        }
        self.advance(literal.len());
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'-') || self.eat(b'+');
            self.digits()?;
        }
        self.document.get(start..self.at).ok_or(Fault::NotStrict)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let len = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(len);
        if len == 0 { Err(Fault::NotStrict) } else { Ok(()) }
    }
}

/// How many bytes come before the first quote, backslash or control character, or the end.
///
/// Looks at eight bytes at a time: most of a payload is the inside of strings. The bit tricks find zero bytes, and
/// may find one falsely only after a true one, so the first is right.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut len = 0;
    for &word in words {
        let word = u64::from_le_bytes(word);
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
        let special = (quotes | backslashes | controls) & HIGH_BITS;
        if special != 0 {
            return len + special.trailing_zeros() as usize / 8;
        }
        len += size_of::<u64>();
    }
    len + tail.iter().take_while(|&&byte| byte >= b' ' && byte != b'"' && byte != b'\\').count()
}

/// Writes out, in place, those escapes of a checked document whose character `chosen` accepts; returns the new length.
pub(crate) fn undo_escapes(document: &mut [u8], chosen: impl Fn(char) -> bool) -> usize {
    let (mut read, mut written) = (0, 0);
    while let Some((&byte, rest)) = document.get(read..).and_then(<[u8]>::split_first) {
        let mut utf8 = [byte, 0, 0, 0];
        let (taken, len) = match escape(rest).filter(|_| byte == b'\\') {
            Some((character, escape_len)) if chosen(character) => {
                (1 + escape_len, character.encode_utf8(&mut utf8).len())
            }
            // The byte after the backslash goes along, so that it is not taken for another backslash.
            Some(_) => {
                utf8 = [byte, rest.first().copied().unwrap_or_default(), 0, 0];
                (2, 2)
            }
            None => (1, 1),
        };
        let place = document.get_mut(written..).unwrap_or_default();
        place.iter_mut().zip(utf8).take(len).for_each(|(place, byte)| *place = byte);
        read += taken;
        written += len;
    }
    written
}

/// The character that the escape stands for, and the length of the escape without the backslash before it.
///
/// Half a surrogate pair stands for nothing, so it is no escape (RFC 8259 §8.2 warns of it).
fn escape(rest: &[u8]) -> Option<(char, usize)> {
    let character = match rest.first()? {
        &same @ (b'"' | b'\\' | b'/') => char::from(same),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(rest),
        _ => return None,
    };
    Some((character, 1))
}

fn unicode_escape(rest: &[u8]) -> Option<(char, usize)> {
    let first = hex_unit(rest)?;
    let second = rest.get(5..).and_then(|rest| rest.strip_prefix(b"\\")).and_then(hex_unit);
    let units = [Some(first), second].into_iter().flatten();
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, if character.len_utf16() == 1 { 5 } else { 11 }))
}

/// The UTF-16 code unit of a `u` with four hexadecimal digits.
fn hex_unit(rest: &[u8]) -> Option<u16> {
    let digits: &[u8; 4] = rest.strip_prefix(b"u")?.first_chunk()?;
    digits.iter().try_fold(0, |unit, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(unit << 4 | value as u16)
    })
}

#[cfg(test)]
mod tests;
