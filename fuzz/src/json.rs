//! What serde_json makes of a document, and what that asks of our own readers.

use latchkey_client::http::{self, Value as Read};
use serde_json::{Map, Value};

/// The object that a document is, with the last of the members of one name.
pub fn object(document: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(document).ok()
}

/// How many members a document has, those of a name that comes twice included.
pub fn members(document: &[u8]) -> usize {
    let without_escapes = String::from_utf8_lossy(document).replace(r"\\", "").replace(r#"\""#, "");
    without_escapes.split('"').step_by(2).map(|between_strings| between_strings.matches(':').count()).sum()
}

/// What the device's reader finds of an object's members is what serde_json finds.
#[track_caller]
pub fn assert_same_members(document: &[u8]) {
    for (name, value) in object(document).into_iter().flatten() {
        match http::member(document, &name) {
            // Of two members with one name serde_json takes the last; names with escapes are not looked for.
            None | Some(Read::Unread) => {}
            Some(Read::Text(text)) => assert_eq!(value.as_str(), Some(text)),
            Some(Read::Other(text)) => assert_eq!(serde_json::from_str(text).ok(), Some(value)),
        }
    }
}

/// What a value asks of the strict reader.
pub trait Shape {
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
