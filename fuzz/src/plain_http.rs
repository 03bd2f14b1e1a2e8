//! A request read the plain way, to judge how the gate read it: whole lines, no limits, nothing shared with the gate but
//! the look for our cookie, which `cookie_header` judges.

use latchkey::gate::parse::PASSED_ON;

use crate::cookie;

/// A request as the client sent it.
pub struct PlainRequest<'a> {
    /// Method and target, the target without scheme and host.
    pub line: (&'a str, &'a str),
    /// Names in lower case, values without the white space around them.
    fields: Vec<(String, &'a [u8])>,
    pub body: &'a [u8],
    /// Bytes of head and body, and of an empty line in front.
    pub len: usize,
}

impl<'a> PlainRequest<'a> {
    /// The request at the start of `input`; `None` when it is not there whole or its length is not told once.
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let bytes = input.strip_prefix(b"\r\n").unwrap_or(input);
        let head_len = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let mut lines = split_lines(&bytes[..head_len - 4]).into_iter();
        let (method, target) = str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let target = origin_form(target.split_once(' ')?.0);
        let fields: Vec<_> = lines.map(field).collect::<Option<_>>()?;
        // RFC 9112 §6.3, whatever the version: a request without either length has no body.
        let body_len = match (&all(&fields, "content-length")[..], &all(&fields, "transfer-encoding")[..]) {
            ([], []) => 0,
            ([length], []) => str::from_utf8(length).ok()?.parse().ok()?,
            _ => return None,
        };
        let body = bytes[head_len..].get(..body_len)?;
        let len = input.len() - bytes.len() + head_len + body_len;
        Some(Self { line: (method, target), fields, body, len })
    }

    /// The fields that have to arrive in a lane, in their order; `None` when one is there twice.
    pub fn passed_on(&self) -> Option<Vec<(&str, String)>> {
        let mut passed_on = Vec::new();
        for name in PASSED_ON {
            match all(&self.fields, name)[..] {
                [] => {}
                [value] => passed_on.push((name, in_ascii(value))),
                _ => return None,
            }
        }
        let ours = cookie().find(all(&self.fields, "cookie")).ok()?;
        passed_on.extend(ours.map(|value| ("cookie", cookie().sent(value))));
        Some(passed_on)
    }

    /// Whether a proxy says that it passed the request on.
    pub fn is_forwarded(&self) -> bool {
        let says_so = |name: &str| {
            ["forwarded", "via", "x-real-ip"].contains(&name) || name.starts_with("x-forwarded-")
        };
        self.fields.iter().any(|(name, _)| says_so(name))
    }
}

/// The values of the fields of one name.
fn all<'a>(fields: &[(String, &'a [u8])], name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect()
}

/// The lines of a head, which CR LF ends and nothing else.
fn split_lines(mut head: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = head.windows(2).position(|end| end == b"\r\n") {
        lines.push(&head[..end]);
        head = &head[end + 2..];
    }
    lines.push(head);
    lines
}

fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
    let mut value = &line[colon + 1..];
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    Some((name, value))
}

/// A target without scheme and host, if it has them.
fn origin_form(target: &str) -> &str {
    let authority_on = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    authority_on.map_or(target, |rest| &rest[rest.find('/').unwrap_or(rest.len())..])
}

/// A byte that is no ASCII arrives as a question mark.
fn in_ascii(value: &[u8]) -> String {
    value.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect()
}
