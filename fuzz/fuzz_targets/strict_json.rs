//! Any bytes as the value of a claim nobody knows: accepted if and only if serde_json reads it and it is within limits.

#![no_main]

use latchkey_fuzz::{NOW, ROOM, key};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use token_core::{DEPTH_MAX, NAMES_MAX, Verifier};

fuzz_target!(|input: &[u8]| {
    let document = [format!(r#"{{"exp":{},"x":"#, NOW + 1).as_bytes(), input, b"}"].concat();
    let (keys, mut buffer, mut room) = ([key()], [0; ROOM], [0; ROOM]);
    let Ok(token) = keys[0].sign_payload(&document, &mut room) else { return };
    let is_acceptable = match serde_json::from_slice::<Map<String, Value>>(&document) {
        // The input closed the value and went on to claims of its own, which are not judged by their syntax alone.
        Ok(read) if read.len() != 2 => return,
        Ok(read) => {
            let is_unique = members(&document) == 2 + read["x"].members();
            // The object around the value is open as well, and `x` is a name.
            is_unique && read["x"].depth() < DEPTH_MAX && read["x"].names() < NAMES_MAX
        }
        // serde_json must fit a number into a float; we leave it as it is written.
        Err(error) if error.to_string().starts_with("number out of range") => return,
        Err(_) => false,
    };
    let outcome = Verifier::new(&keys).verify(token, NOW, &mut buffer);
    assert_eq!(outcome.is_ok(), is_acceptable, "{}: {outcome:?}", document.escape_ascii());
});

/// How many members a document has, those of a name that comes twice included: serde_json keeps only the last.
fn members(document: &[u8]) -> usize {
    let without_escapes = String::from_utf8_lossy(document).replace(r"\\", "").replace(r#"\""#, "");
    without_escapes.split('"').step_by(2).map(|between_strings| between_strings.matches(':').count()).sum()
}

/// What a value asks of the strict reader.
trait Shape {
    /// How many members it has, at all depths.
    fn members(&self) -> usize;
    /// How many containers are open at its deepest place.
    fn depth(&self) -> usize;
    /// How many names are remembered at most, over all that is open.
    fn names(&self) -> usize;
}

impl Shape for Value {
    fn members(&self) -> usize {
        children(self).map(|(names, child)| names.min(1) + child.members()).sum()
    }

    fn depth(&self) -> usize {
        let below = children(self).map(|(_, child)| child.depth()).max().unwrap_or(0);
        below + usize::from(self.is_array() || self.is_object())
    }

    fn names(&self) -> usize {
        children(self).map(|(names, child)| names + child.names()).max().unwrap_or(0)
    }
}

/// The values directly within one, each with how many names its siblings and itself have brought by then.
fn children(value: &Value) -> Box<dyn Iterator<Item = (usize, &Value)> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter().map(|item| (0, item))),
        Value::Object(object) => Box::new((1..).zip(object.values())),
        _ => Box::new([].into_iter()),
    }
}
