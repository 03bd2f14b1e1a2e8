//! A strict reader of one JSON object (RFC 8259): iterative, of fixed depth, undoing escapes where they stand.
//!
//! Stricter than the RFC must be: a member name comes once in an object however it is spelled (RFC 7519 §4), escapes
//! stand for whole characters only, and depth and names are limited. It has no floats; numbers stay text.
//!
//! It reads bytes, and leaves to its callers to see that the document is UTF-8. They do so when it has been read to its
//! end: undoing escapes puts whole characters between the bytes, so it makes no document UTF-8 that was not, nor the
//! reverse.

use core::num::NonZeroU32;

use heapless::{Vec, VecView};

/// How many objects and arrays can be open at a time in a header or in claims, the outermost included.
pub const DEPTH_MAX: usize = 16;

/// How many member names are remembered at a time, over all open objects, to refuse a second one of the same name.
/// Registered names are not counted: each has a place of its own.
pub const NAMES_MAX: usize = 64;

const _: () = assert!(NAMES_MAX <= u8::MAX as usize, "a container counts the names before it in a u8");

/// Why a document was not read. One number as wide as a [`Span`], so that either travels in the same register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault(u32);

impl Fault {
    /// Not JSON, or not strictly.
    pub(crate) const NOT_STRICT: Fault = Fault(0);
    /// A member is not there without which the object means nothing.
    pub(crate) const MISSING: Fault = Fault(1);
    pub(crate) const TOO_DEEP: Fault = Fault(2);
    pub(crate) const TOO_MANY_NAMES: Fault = Fault(3);
    pub(crate) const TOO_MANY_TEXTS: Fault = Fault(4);
    const INVALID_FROM: u32 = 5;

    /// The value of a member is not of the type that was asked for, or it has been given before.
    pub(crate) const fn invalid(place: usize) -> Self {
        Fault(Self::INVALID_FROM + place as u32)
    }

    /// The place of the member that is invalid.
    pub(crate) fn invalid_place(self) -> Option<usize> {
        self.0.checked_sub(Self::INVALID_FROM).map(|place| place as usize)
    }
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

    /// The bytes that a name or a value stands for.
    pub(crate) fn bytes_of(self, document: &[u8]) -> &[u8] {
        document.get(self.start()..self.end()).unwrap_or_default()
    }

    /// Whether it is no text, but marks a member that is there: no value stands before the brace.
    pub(crate) fn is_mark(self) -> bool {
        self.start() == 0
    }

    /// The text itself; empty when `document` is not the one the span was read from.
    pub(crate) fn of(self, document: &str) -> &str {
        document.get(self.start()..self.end()).unwrap_or_default()
    }
}

/// A member that is looked for among those of the outermost object.
pub(crate) struct Member {
    /// The first four bytes of its name, or three and a zero.
    word: u32,
    len: u8,
    kind: Kind,
}

/// What has to come next in a document.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// Any value; if it is a text, it is noted.
    TextOrAny,
    /// A number without a minus.
    Number,
    /// A text, or an array of texts.
    Texts,
    Any,
    /// No value, but the name before one.
    Name,
}

impl Member {
    /// A member of this name, of three bytes at least: four of them and the length tell it from all that are expected.
    pub(crate) const fn new(name: &str, kind: Kind) -> Self {
        let word = match *name.as_bytes() {
            [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
            [a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        Member { word, len: name.len() as u8, kind }
    }

    #[cfg(test)]
    pub(crate) fn has_name(&self, name: &str) -> bool {
        position(core::slice::from_ref(self), name.as_bytes()).is_some()
    }
}

/// The place of the member that has this name.
#[inline(always)]
fn position<'m>(members: &'m [Member], name: &[u8]) -> Option<(usize, &'m Member)> {
    let mut bytes = [0; 4];
    bytes.iter_mut().zip(name).for_each(|(byte, &named)| *byte = named);
    let word = u32::from_le_bytes(bytes);
    let is_named = |member: &Member| member.word == word && usize::from(member.len) == name.len();
    members.iter().enumerate().find(|(_, member)| is_named(member))
}

impl Kind {
    /// Whether it may begin with this byte, where so many containers are open.
    fn may_begin_with(self, token: u8, depth: usize) -> bool {
        match self {
            Kind::Any | Kind::TextOrAny => true,
            Kind::Text | Kind::Name => token == b'"',
            Kind::Number => token.is_ascii_digit(),
            Kind::Texts => token == b'"' || token == b'[' && depth == 1,
        }
    }
}

/// Reads a document that is one object to its end, and notes where the `members` are that it has.
///
/// In its place of `found`, a text or a number leaves where its value is, anything else that it is there; `texts` are
/// those of the one member of that kind.
///
/// Kept apart, so that the names are on the stack only meanwhile.
#[inline(never)]
pub(crate) fn read(
    document: &mut [u8],
    members: &[Member],
    found: &mut [Option<Span>],
    texts: &mut VecView<Span>,
) -> Result<(), Fault> {
    if document.len() > DOCUMENT_LEN_MAX {
        return Err(Fault::NOT_STRICT);
    }
    let cursor = Cursor::new(document);
    Reader { cursor, members, found, texts, place: 0, open: Vec::new(), names: Vec::new() }.read()
}

/// Stands for an array among the containers that are open.
const ARRAY: u8 = u8::MAX;

struct Reader<'a> {
    cursor: Cursor<'a>,
    members: &'a [Member],
    found: &'a mut [Option<Span>],
    texts: &'a mut VecView<Span>,
    /// Where to note the value that is being read, if it is a text or a number.
    place: usize,
    /// Which of the names is the first of an object that is open.
    open: Vec<u8, DEPTH_MAX>,
    names: Vec<Span, NAMES_MAX>,
}

/// Its methods are inlined, so that on a server all of it is kept in registers.
impl<'a> Reader<'a> {
    #[inline(always)]
    fn read(mut self) -> Result<(), Fault> {
        let mut kind = Kind::Any;
        let mut token = self.cursor.token();
        if token != b'{' {
            return Err(Fault::NOT_STRICT);
        }
        loop {
            // Here a value begins, or a name.
            if let Kind::TextOrAny = kind {
                kind = if token == b'"' { Kind::Text } else { Kind::Any };
            }
            if !kind.may_begin_with(token, self.open.len()) {
                let is_name = matches!(kind, Kind::Name);
                return Err(if is_name { Fault::NOT_STRICT } else { Fault::invalid(self.place) });
            }
            if let b'[' | b'{' = token {
                let (names_from, end) =
                    if token == b'[' { (ARRAY, b']') } else { (self.names.len() as u8, b'}') };
                self.open.push(names_from).map_err(|_| Fault::TOO_DEEP)?;
                token = self.cursor.token();
                if token != end {
                    kind = if names_from == ARRAY { kind } else { Kind::Name };
                    continue;
                }
            } else if let Kind::Name = kind
                && let Some((place, member)) = self.short_member()
            {
                kind = self.take_place(place, member)?;
                token = self.cursor.token();
                continue;
            } else {
                let scalar = self.cursor.scalar(token)?;
                token = self.cursor.token();
                if let Kind::Name = kind {
                    if token != b':' {
                        return Err(Fault::NOT_STRICT);
                    }
                    kind = self.begin_member(scalar)?;
                    token = self.cursor.token();
                    continue;
                }
                self.note(kind, scalar)?;
            }
            // Here a value has ended: another follows it, or what is around it ends as well.
            while token != b',' {
                self.close(token)?;
                token = self.cursor.token();
                if self.open.is_empty() {
                    let is_at_end = self.cursor.at > self.cursor.document.len();
                    return if is_at_end { Ok(()) } else { Err(Fault::NOT_STRICT) };
                }
            }
            token = self.cursor.token();
            if self.open.last().is_some_and(|&names_from| names_from != ARRAY) {
                kind = Kind::Name;
            }
        }
    }

    /// The member whose name begins here, if it is one that is looked for, in the spelling that nearly all have: three
    /// letters, a quote and a colon, which are passed.
    #[inline(always)]
    fn short_member(&mut self) -> Option<(usize, &'a Member)> {
        if !crate::HAS_ROOM || self.open.len() != 1 {
            return None;
        }
        let rest = self.cursor.document.get(self.cursor.at..)?;
        let (name, [b'"', b':', ..]) = rest.split_at_checked(3)? else { return None };
        let member = position(self.members, name)?;
        self.cursor.at += 5;
        Some(member)
    }

    /// What the value of the member of this name has to be.
    #[inline(always)]
    fn begin_member(&mut self, name: Span) -> Result<Kind, Fault> {
        let bytes = self.cursor.bytes(name);
        if self.open.len() == 1
            && let Some((place, member)) = position(self.members, bytes)
        {
            return self.take_place(place, member);
        }
        let names_from = self.open.last().copied().unwrap_or_default();
        let siblings = self.names.get(usize::from(names_from)..).unwrap_or_default();
        if siblings.iter().any(|&sibling| self.cursor.bytes(sibling) == bytes) {
            return Err(Fault::NOT_STRICT);
        }
        self.names.push(name).map_err(|_| Fault::TOO_MANY_NAMES)?;
        Ok(Kind::Any)
    }

    /// A place already taken means the name came twice (RFC 7519 §4).
    #[inline(always)]
    fn take_place(&mut self, place: usize, member: &Member) -> Result<Kind, Fault> {
        match self.found.get_mut(place) {
            Some(found @ None) => *found = Some(Span::new(0, 0)),
            _ => return Err(Fault::invalid(place)),
        }
        self.place = place;
        Ok(member.kind)
    }

    /// Notes a value that is neither an object nor an array.
    #[inline(always)]
    fn note(&mut self, kind: Kind, value: Span) -> Result<(), Fault> {
        match kind {
            Kind::Text | Kind::Number => {
                if let Some(found) = self.found.get_mut(self.place) {
                    *found = Some(value);
                }
            }
            Kind::Texts => self.texts.push(value).map_err(|_| Fault::TOO_MANY_TEXTS)?,
            Kind::Any | Kind::TextOrAny | Kind::Name => {}
        }
        Ok(())
    }

    /// Leaves the innermost container, if this is its end.
    #[inline(always)]
    fn close(&mut self, token: u8) -> Result<(), Fault> {
        match (self.open.pop(), token) {
            (Some(ARRAY), b']') => {}
            (Some(names_from), b'}') if names_from != ARRAY => self.names.truncate(usize::from(names_from)),
            _ => return Err(Fault::NOT_STRICT),
        }
        Ok(())
    }
}

/// Stands for what comes after the last byte of a document. As a byte of one it is out of place everywhere, too.
const END: u8 = 0;

/// What may follow a backslash, besides `u`, and what the two stand for (RFC 8259 §7).
const ESCAPES: [(u8, u8); 8] = [
    (b'"', b'"'),
    (b'\\', b'\\'),
    (b'/', b'/'),
    (b'b', 0x08),
    (b'f', 0x0C),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
];

/// The place in the document, and what can begin there.
pub(crate) struct Cursor<'d> {
    document: &'d mut [u8],
    pub(crate) at: usize,
}

impl<'d> Cursor<'d> {
    pub(crate) fn new(document: &'d mut [u8]) -> Self {
        Cursor { document, at: 0 }
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        span.bytes_of(self.document)
    }

    fn peek(&self) -> u8 {
        self.document.get(self.at).copied().unwrap_or(END)
    }

    /// The byte here, which is passed. At the end the place goes on beyond it; there is nothing more to be found there.
    #[cfg_attr(target_os = "none", inline(never))]
    fn take(&mut self) -> u8 {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    /// The first byte that is not whitespace; it is passed, with all before it.
    ///
    /// Called from everywhere, so a device has it once.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn token(&mut self) -> u8 {
        loop {
            match self.take() {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                token => return token,
            }
        }
    }

    /// The string whose opening quote was just read.
    pub(crate) fn string(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        self.at += plain_len(self.document.get(start..).unwrap_or_default());
        let end = self.at;
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(Span::new(start, end));
        }
        // A cursor of its own, so that the other can stay in registers.
        let mut apart = Cursor { document: &mut *self.document, at: self.at };
        let text = apart.unescape(start);
        self.at = apart.at;
        text
    }

    /// The string that begins at `start`, from its first escape on.
    #[cold]
    #[inline(never)]
    fn unescape(&mut self, start: usize) -> Result<Span, Fault> {
        let mut end = self.at;
        // After an escape, characters move to the front: none is longer than its escape, so what is written never
        // overtakes what is read.
        loop {
            match self.take() {
                b'"' => break,
                b'\\' => {
                    let character = self.escape()?;
                    end = self.put_character(end, character);
                }
                ..b' ' => return Err(Fault::NOT_STRICT),
                byte => end = self.put(end, byte),
            }
        }
        // The document is short enough: `read` has seen to it.
        let string = Span::new(start, end);
        // What the escapes leave over between the string and its quote stays UTF-8.
        while end < self.at - 1 {
            end = self.put(end, b' ');
        }
        Ok(string)
    }

    /// Writes over what has been read by now; returns the place after it.
    fn put(&mut self, at: usize, byte: u8) -> usize {
        if let Some(place) = self.document.get_mut(at) {
            *place = byte;
        }
        at + 1
    }

    /// Writes a character in UTF-8: the bits that lead in the first byte, six bits in each other.
    fn put_character(&mut self, at: usize, character: char) -> usize {
        let code = u32::from(character);
        let (lead, more) = match code {
            0..0x80 => (0, 0),
            0x80..0x800 => (0xC0, 1),
            0x800..0x1_0000 => (0xE0, 2),
            _ => (0xF0, 3),
        };
        let mut at = self.put(at, lead | (code >> (6 * more)) as u8);
        for place in (0..more).rev() {
            at = self.put(at, 0x80 | (code >> (6 * place)) as u8 & 0x3F);
        }
        at
    }

    /// The character that an escape stands for whose backslash was just read.
    ///
    /// Half a surrogate pair stands for nothing, so it is no escape (RFC 8259 §8.2 warns of it).
    fn escape(&mut self) -> Result<char, Fault> {
        let letter = self.take();
        let short = ESCAPES.iter().find(|(escape, _)| *escape == letter);
        if let Some(&(_, character)) = short {
            return Ok(char::from(character));
        }
        if letter != b'u' {
            return Err(Fault::NOT_STRICT);
        }
        let mut code = self.hex_unit()?;
        if let 0xD800..0xDC00 = code
            && self.take() == b'\\'
            && self.take() == b'u'
            && let low @ 0xDC00..0xE000 = self.hex_unit()?
        {
            code = 0x1_0000 + ((code - 0xD800) << 10 | (low - 0xDC00));
        }
        char::from_u32(code).ok_or(Fault::NOT_STRICT)
    }

    /// The UTF-16 code unit of four hexadecimal digits.
    #[inline(never)]
    fn hex_unit(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = match self.take() {
                digit @ b'0'..=b'9' => digit - b'0',
                letter @ b'a'..=b'f' => letter - b'a' + 10,
                letter @ b'A'..=b'F' => letter - b'A' + 10,
                _ => return Err(Fault::NOT_STRICT),
            };
            unit = unit << 4 | u32::from(digit);
        }
        Ok(unit)
    }

    /// A value that is neither an object nor an array, whose first byte was just read.
    pub(crate) fn scalar(&mut self, first: u8) -> Result<Span, Fault> {
        let rest: &[u8] = match first {
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            b't' => b"rue",
            b'f' => b"alse",
            b'n' => b"ull",
            _ => return Err(Fault::NOT_STRICT),
        };
        let start = self.at;
        if rest.iter().all(|&byte| self.take() == byte) {
            Ok(Span::new(start, self.at))
        } else {
            Err(Fault::NOT_STRICT)
        }
    }

    /// The number whose first character was just read.
    fn number(&mut self) -> Result<Span, Fault> {
        self.at -= 1;
        let start = self.at;
        self.passes(b'-');
        let leads_with_zero = self.peek() == b'0';
        if self.digits()? > 1 && leads_with_zero {
            return Err(Fault::NOT_STRICT);
        }
        if self.passes(b'.') {
            self.digits()?;
        }
        if self.passes(b'e') || self.passes(b'E') {
            let _ = self.passes(b'-') || self.passes(b'+');
            self.digits()?;
        }
        Ok(Span::new(start, self.at))
    }

    /// Whether this is what comes next; then it is passed.
    #[cfg_attr(target_os = "none", inline(never))]
    fn passes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes digits, of which there is at least one; returns how many.
    #[cfg_attr(target_os = "none", inline(never))]
    fn digits(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(Fault::NOT_STRICT) } else { Ok(self.at - start) }
    }
}

/// How many bytes come before the first quote, backslash or control character, or the end.
///
/// A server looks at eight at a time: most of a payload is the inside of strings.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    if crate::HAS_ROOM {
        let (words, _) = bytes.as_chunks();
        for &word in words {
            let special = special(u64::from_le_bytes(word));
            len += special.trailing_zeros() as usize / 8;
            if special != 0 {
                return len;
            }
        }
    }
    let rest = bytes.get(len..).unwrap_or_default();
    len + rest.iter().take_while(|&&byte| byte >= b' ' && byte != b'"' && byte != b'\\').count()
}

/// Marks the first byte, and some of those after it, that is a quote, a backslash or a control character.
///
/// The bit tricks find bytes below a limit, and may find one falsely only after a true one. To change a bit of each byte
/// puts the quote next to the control characters.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let quotes_and_controls = below(word ^ (ONES * 0x02), b' ' + 1);
    let backslashes = below(word ^ (ONES * u64::from(b'\\')), 1);
    (quotes_and_controls | backslashes) & (ONES << 7)
}

#[cfg(test)]
mod tests;
