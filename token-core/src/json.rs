//! A strict reader of one JSON object (RFC 8259): iterative, of fixed depth, undoing escapes where they stand.
//!
//! Stricter than the RFC must be: a member name comes once in an object however it is spelled (RFC 7519 §4), escapes
//! stand for whole characters only, and depth and names are limited. It has no floats; numbers stay text.
//!
//! It reads bytes, and leaves to its callers to see that the document is UTF-8. They do so when it has been read to its
//! end: undoing escapes puts whole characters between the bytes, so it makes no document UTF-8 that was not, nor the
//! reverse.

use core::num::NonZeroU32;

use heapless::Vec;

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
    /// A value is not of the type that was asked for, or it has been given before.
    Invalid,
    /// A member is not there without which the object means nothing.
    Missing,
}

/// Where a string or a number stands in its document: of a string what is between the quotes, without its escapes.
///
/// Packed, so that the reader hands it out in a register and an `Option` of it is no larger: as two fields it went
/// through memory, and reading a payload took half as long again. From the top: 16 bits of start, 15 of length, a 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(NonZeroU32);

/// Longest document that is read, in bytes: one whose places fit into a [`Span`].
const DOCUMENT_LEN_MAX: usize = 0x7FFF;
const _: () = assert!(crate::TOKEN_LEN_MAX <= DOCUMENT_LEN_MAX, "no token may be too long for the reader");

impl Span {
    /// The caller sees to it that both places are within [`DOCUMENT_LEN_MAX`].
    fn new(start: usize, end: usize) -> Self {
        Span(NonZeroU32::MIN | (start << 16 | end.saturating_sub(start) << 1) as u32)
    }

    fn start(self) -> usize {
        (self.0.get() >> 16) as usize
    }

    fn end(self) -> usize {
        self.start() + usize::from(self.0.get() as u16 >> 1)
    }

    /// The text itself; empty when `document` is not the one the span was read from.
    pub(crate) fn of(self, document: &str) -> &str {
        document.get(self.start()..self.end()).unwrap_or_default()
    }
}

/// The members of the object that a document consists of, read one after the other.
///
/// After each name comes exactly one call for its value. The caller refuses a second member of a name it knows, by
/// finding its place taken; [`skip_unknown`](Object::skip_unknown) sees to all the others.
pub(crate) struct Object<'d> {
    cursor: Cursor<'d>,
    names: Vec<Span, NAMES_MAX>,
}

impl<'d> Object<'d> {
    /// Nothing is read yet. This cannot fail, so that the names are on the stack once and not twice.
    pub(crate) fn new(document: &'d mut [u8]) -> Self {
        Object { cursor: Cursor { document, at: 0 }, names: Vec::new() }
    }

    /// The name of the next member; nothing once the object, and with it the document, has ended as it should.
    pub(crate) fn next_name(&mut self) -> Result<Option<Span>, Fault> {
        let is_first = self.cursor.at == 0;
        if is_first {
            if self.cursor.document.len() > DOCUMENT_LEN_MAX {
                return Err(Fault::NotStrict);
            }
            self.cursor.expect(b'{')?;
        }
        match self.cursor.token() {
            b'}' => return if self.cursor.is_at_end() { Ok(None) } else { Err(Fault::NotStrict) },
            b',' if !is_first => self.cursor.expect(b'"')?,
            b'"' if is_first => {}
            _ => return Err(Fault::NotStrict),
        }
        self.cursor.name().map(Some)
    }

    /// The bytes that a name or a value stands for.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.cursor.bytes(span)
    }

    /// The value of the member just named, if it is a string.
    pub(crate) fn string(&mut self) -> Result<Span, Fault> {
        match self.cursor.token() {
            b'"' => self.cursor.string(),
            _ => Err(Fault::Invalid),
        }
    }

    /// The value of the member just named, if it is a number, as it is written.
    pub(crate) fn number(&mut self) -> Result<Span, Fault> {
        match self.cursor.token() {
            b'-' | b'0'..=b'9' => self.cursor.number(),
            _ => Err(Fault::Invalid),
        }
    }

    /// The value of the member just named, if it is a string or an array of no more strings than there is room for.
    pub(crate) fn strings<const N: usize>(&mut self, strings: &mut Vec<Span, N>) -> Result<(), Fault> {
        let mut token = self.cursor.token();
        let is_array = token == b'[';
        if is_array {
            token = self.cursor.token();
            if token == b']' {
                return Ok(());
            }
        }
        loop {
            if token != b'"' {
                return Err(Fault::Invalid);
            }
            strings.push(self.cursor.string()?).map_err(|_| Fault::NotStrict)?;
            if !is_array {
                return Ok(());
            }
            match self.cursor.token() {
                b',' => token = self.cursor.token(),
                b']' => return Ok(()),
                _ => return Err(Fault::NotStrict),
            }
        }
    }

    /// Checks the value of the member just named, whatever it is, and that the name is new among its siblings.
    pub(crate) fn skip_unknown(&mut self, name: Span) -> Result<(), Fault> {
        self.remember(name, 0)?;
        let names_before = self.names.len();
        self.skip_value()?;
        self.names.truncate(names_before);
        Ok(())
    }

    fn skip_value(&mut self) -> Result<(), Fault> {
        let mut open = Vec::<Container, { DEPTH_MAX - 1 }>::new();
        let mut token = self.cursor.token();
        loop {
            // Here a value begins. What begins no value begins no scalar either.
            match token {
                b'[' => {
                    open.push(Container::Array).map_err(|_| Fault::NotStrict)?;
                    token = self.cursor.token();
                    if token != b']' {
                        continue;
                    }
                }
                b'{' => {
                    let names_from = self.names.len() as u8;
                    open.push(Container::Object { names_from }).map_err(|_| Fault::NotStrict)?;
                    token = self.cursor.token();
                    if token != b'}' {
                        token = self.member(token, names_from)?;
                        continue;
                    }
                }
                _ => {
                    self.cursor.scalar(token)?;
                    if open.is_empty() {
                        return Ok(());
                    }
                    token = self.cursor.token();
                }
            }
            // Here one has ended: another follows it, or what is around it ends as well.
            while token != b',' {
                match (open.pop(), token) {
                    (Some(Container::Array), b']') => {}
                    (Some(Container::Object { names_from }), b'}') => {
                        self.names.truncate(usize::from(names_from));
                    }
                    _ => return Err(Fault::NotStrict),
                }
                if open.is_empty() {
                    return Ok(());
                }
                token = self.cursor.token();
            }
            token = self.cursor.token();
            if let Some(&Container::Object { names_from }) = open.last() {
                token = self.member(token, names_from)?;
            }
        }
    }

    /// Reads a member's name, which begins with `token`, up to the first token of its value.
    fn member(&mut self, token: u8, names_from: u8) -> Result<u8, Fault> {
        if token != b'"' {
            return Err(Fault::NotStrict);
        }
        let name = self.cursor.name()?;
        self.remember(name, usize::from(names_from))?;
        Ok(self.cursor.token())
    }

    /// Keeps the name of a member, unless the object whose names begin at `names_from` has it already.
    fn remember(&mut self, name: Span, names_from: usize) -> Result<(), Fault> {
        let siblings = self.names.get(names_from..).unwrap_or_default();
        if siblings.iter().any(|&sibling| self.bytes(sibling) == self.bytes(name)) {
            return Err(Fault::NotStrict);
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

/// Stands for what comes after the last byte of a document. As a byte of one it is out of place everywhere, too.
const END: u8 = 0;

/// The place in the document, and what can begin there.
struct Cursor<'d> {
    document: &'d mut [u8],
    at: usize,
}

impl Cursor<'_> {
    fn bytes(&self, span: Span) -> &[u8] {
        self.document.get(span.start()..span.end()).unwrap_or_default()
    }

    fn peek(&self) -> u8 {
        self.document.get(self.at).copied().unwrap_or(END)
    }

    /// The byte here, which is passed. At the end the place goes on beyond it; there is nothing more to be found there.
    fn take(&mut self) -> u8 {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    /// The first byte that is not whitespace; it is passed, with all before it.
    ///
    /// Called from everywhere: inlined it is 800 bytes of a device's flash, and not inlined 40 ns of a server's time.
    #[cfg_attr(target_os = "none", inline(never))]
    fn token(&mut self) -> u8 {
        loop {
            match self.take() {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                token => return token,
            }
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.token();
        self.at > self.document.len()
    }

    fn expect(&mut self, token: u8) -> Result<(), Fault> {
        if self.token() == token { Ok(()) } else { Err(Fault::NotStrict) }
    }

    /// A member name whose opening quote was just read, and the colon after it.
    fn name(&mut self) -> Result<Span, Fault> {
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// The string whose opening quote was just read.
    fn string(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        self.at += plain_len(self.document.get(start..).unwrap_or_default());
        let mut end = self.at;
        // After an escape, characters move to the front: none is longer than its escape, so what is written never
        // overtakes what is read.
        loop {
            let mut utf8 = [0; 4];
            let character = match self.take() {
                b'"' => break,
                b'\\' => self.escape()?.encode_utf8(&mut utf8).as_bytes(),
                ..b' ' => return Err(Fault::NotStrict),
                byte => {
                    utf8[0] = byte;
                    &utf8[..1]
                }
            };
            end = self.put(end, character);
        }
        // The document is short enough: `next_name` has seen to it.
        let string = Span::new(start, end);
        // What the escapes leave over between the string and its quote stays UTF-8.
        while end < self.at - 1 {
            end = self.put(end, b" ");
        }
        Ok(string)
    }

    /// Writes over what has been read by now; returns the place after it.
    fn put(&mut self, at: usize, bytes: &[u8]) -> usize {
        let places = self.document.get_mut(at..).unwrap_or_default();
        places.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
        at + bytes.len()
    }

    /// The character that an escape stands for whose backslash was just read.
    ///
    /// Half a surrogate pair stands for nothing, so it is no escape (RFC 8259 §8.2 warns of it).
    fn escape(&mut self) -> Result<char, Fault> {
        let code = match self.take() {
            same @ (b'"' | b'\\' | b'/') => u32::from(same),
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => u32::from(b'\n'),
            b'r' => u32::from(b'\r'),
            b't' => u32::from(b'\t'),
            b'u' => match self.hex_unit()? {
                high @ 0xD800..0xDC00 if self.take() == b'\\' && self.take() == b'u' => {
                    match self.hex_unit()? {
                        low @ 0xDC00..0xE000 => 0x1_0000 + ((high - 0xD800) << 10 | (low - 0xDC00)),
                        _ => return Err(Fault::NotStrict),
                    }
                }
                unit => unit,
            },
            _ => return Err(Fault::NotStrict),
        };
        char::from_u32(code).ok_or(Fault::NotStrict)
    }

    /// The UTF-16 code unit of four hexadecimal digits.
    fn hex_unit(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.take()).to_digit(16).ok_or(Fault::NotStrict)?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    /// A value that is neither an object nor an array, whose first byte was just read.
    fn scalar(&mut self, first: u8) -> Result<(), Fault> {
        let rest: &[u8] = match first {
            b'"' => return self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => return self.number().map(|_| ()),
            b't' => b"rue",
            b'f' => b"alse",
            b'n' => b"ull",
            _ => return Err(Fault::NotStrict),
        };
        if rest.iter().all(|&byte| self.take() == byte) { Ok(()) } else { Err(Fault::NotStrict) }
    }

    /// The number whose first character was just read.
    fn number(&mut self) -> Result<Span, Fault> {
        self.at -= 1;
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            if let b'-' | b'+' = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Span::new(start, self.at))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(Fault::NotStrict) } else { Ok(()) }
    }
}

/// How many bytes come before the first quote, backslash or control character, or the end.
///
/// Looks at a register of bytes at a time: most of a payload is the inside of strings. The bit tricks find zero bytes,
/// and may find one falsely only after a true one, so the first is right.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    const WORD: usize = size_of::<usize>();
    const ONES: usize = usize::from_le_bytes([1; WORD]);
    const HIGH_BITS: usize = ONES << 7;
    let mut len = 0;
    let (words, tail) = bytes.as_chunks::<WORD>();
    for &word in words {
        let word = usize::from_le_bytes(word);
        let zeros = |word: usize| word.wrapping_sub(ONES) & !word;
        let quotes = zeros(word ^ (ONES * usize::from(b'"')));
        let backslashes = zeros(word ^ (ONES * usize::from(b'\\')));
        let controls = word.wrapping_sub(ONES * usize::from(b' ')) & !word;
        let special = (quotes | backslashes | controls) & HIGH_BITS;
        if special != 0 {
            return len + special.trailing_zeros() as usize / 8;
        }
        len += WORD;
    }
    len + tail.iter().take_while(|&&byte| byte >= b' ' && byte != b'"' && byte != b'\\').count()
}

/// Writes out, in place, those escapes of a document found strict that `serde-json-core` cannot undo, such as surrogate
/// pairs; returns the new length. What must be escaped in any string stays so.
pub(crate) fn respell(document: &mut [u8]) -> usize {
    let mut cursor = Cursor { document, at: 0 };
    let mut end = 0;
    while cursor.at < cursor.document.len() {
        let start = cursor.at;
        if cursor.take() == b'\\'
            && let Ok(character @ (' '..='!' | '#'..='[' | ']'..)) = cursor.escape()
        {
            end = cursor.put(end, character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for at in start..cursor.at {
            let byte = cursor.document.get(at).copied().unwrap_or_default();
            end = cursor.put(end, &[byte]);
        }
    }
    end
}

#[cfg(test)]
mod tests;
