//! The members of one JSON object, found without building anything: what is nested is passed over.

/// A member's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text without escapes: tokens, handles and codes never need one.
    Text(&'a str),
    /// A text with escapes, an object or an array, which no device needs.
    Unread,
    /// A number, `true`, `false` or `null`, as it is written.
    Other(&'a str),
}

/// The value of the member `name` of the object in `json`; `None` if there is no such member, two of them, or no object
/// (RFC 8259). Names with escapes are nobody's.
///
/// What is passed over is not judged beyond its brackets and quotes.
pub fn member<'a>(json: &'a [u8], name: &str) -> Option<Value<'a>> {
    let mut scan = Scan { rest: str::from_utf8(json).ok()?.as_bytes() };
    let mut found = None;
    scan.expect(b'{')?;
    if scan.peek()? == b'}' {
        scan.rest = &scan.rest[1..];
    } else {
        loop {
            let key = scan.string()?;
            scan.expect(b':')?;
            let value = scan.value()?;
            if key == Value::Text(name) && found.replace(value).is_some() {
                return None;
            }
            match scan.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
    }
    if scan.peek().is_some() { None } else { found }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// The next byte that is no white space, if there is one.
    fn peek(&mut self) -> Option<u8> {
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.rest = &self.rest[self.rest.iter().take_while(blank).count()..];
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.rest = &self.rest[1..];
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' => self.nested(),
            _ => self.other(),
        }
    }

    fn string(&mut self) -> Option<Value<'a>> {
        self.expect(b'"')?;
        let text = self.rest;
        let mut has_escapes = false;
        let mut at = 0;
        loop {
            match text.get(at)? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    at += 2;
                }
                0..=0x1F => return None,
                _ => at += 1,
            }
        }
        self.rest = &text[at + 1..];
        if has_escapes {
            return Some(Value::Unread);
        }
        // It was UTF-8 as a whole, and a quote ends no character but itself.
        str::from_utf8(&text[..at]).ok().map(Value::Text)
    }

    /// Brackets in pairs, of which kind is not asked; a counter instead of a stack.
    fn nested(&mut self) -> Option<Value<'a>> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.rest = &self.rest[1..];
            if depth == 0 {
                return Some(Value::Unread);
            }
        }
    }

    fn other(&mut self) -> Option<Value<'a>> {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let len = self.rest.iter().take_while(is_part).count();
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest;
        str::from_utf8(text).ok().filter(|text| !text.is_empty()).map(Value::Other)
    }
}
