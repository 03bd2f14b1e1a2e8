//! A request read the plain way, to judge how the gate read it: whole lines, no limits, nothing shared with the gate but
//! the look for our cookie, which `cookie_header` judges.

use latchkey::gate::parse::PASSED_ON;

use crate::cookie;

/// A request as the client sent it.
pub struct PlainRequest<'a> {
    /// Method and target, the target without scheme and host.
    pub line: (&'a str, String),
    /// Names in lower case, values without the white space around them.
    fields: Vec<(String, &'a [u8])>,
    pub body: Vec<u8>,
    /// Bytes of head and body.
    pub len: usize,
}

impl<'a> PlainRequest<'a> {
    /// The request at the start of `bytes`; `None` when it is not there whole or its length is not told once.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let head_len = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let mut lines = split_lines(&bytes[..head_len - 4]).into_iter();
        let (method, target) = str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let target = origin_form(method, target.split_once(' ')?.0);
        let fields: Vec<_> = lines.map(field).collect::<Option<_>>()?;
        let rest = &bytes[head_len..];
        // RFC 9112 §6.3, whatever the version: a request without either length has no body.
        let (body, raw_len) =
            match (&all(&fields, "content-length")[..], &all(&fields, "transfer-encoding")[..]) {
                ([], []) => (Vec::new(), 0),
                ([length], []) => {
                    let len = str::from_utf8(length).ok()?.parse().ok()?;
                    (rest.get(..len)?.to_vec(), len)
                }
                ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => unchunked(rest)?,
                _ => return None,
            };
        Some(Self { line: (method, target), fields, body, len: head_len + raw_len })
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
fn origin_form(method: &str, target: &str) -> String {
    if target.starts_with('/') || target == "*" {
        return target.to_owned();
    }
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    match rest.find(['/', '?']).map(|at| &rest[at..]) {
        None if method == "OPTIONS" => "*".to_owned(),
        None => "/".to_owned(),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(query) => format!("/{query}"),
    }
}

/// The content of a body in chunks, and how many bytes of `bytes` it takes up.
fn unchunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut at = 0;
    let line = |at: usize| {
        let len = bytes[at..].windows(2).position(|end| end == b"\r\n")?;
        Some((&bytes[at..at + len], at + len + 2))
    };
    loop {
        let (size, after) = line(at)?;
        let digits = str::from_utf8(size.split(|&byte| byte == b';').next()?.trim_ascii_end()).ok()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        if size == 0 {
            at = after;
            break;
        }
        content.extend_from_slice(bytes.get(after..after.checked_add(size)?)?);
        at = after + size + 2;
        if bytes.get(at - 2..at)? != b"\r\n" {
            return None;
        }
    }
    loop {
        let (trailer, after) = line(at)?;
        at = after;
        if trailer.is_empty() {
            return Some((content, at));
        }
    }
}

/// A byte that is no ASCII arrives as a question mark.
fn in_ascii(value: &[u8]) -> String {
    value.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect()
}
