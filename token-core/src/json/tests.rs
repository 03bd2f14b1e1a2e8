//! The strict reader against serde_json, and against documents that readers are known to disagree about.

use core::fmt;
use std::collections::HashSet;
use std::string::{String as StdString, ToString as _};
use std::vec::Vec as StdVec;
use std::{format, vec};

use proptest::prelude::*;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::*;

fn is_strict(document: &str) -> bool {
    read(&mut document.as_bytes().to_vec(), &[], &mut [], &mut Vec::<_, 0>::new()).is_ok()
}

/// The text of the member `one` of a document that has it, and what has become of the document.
fn text_of_one(document: &[u8]) -> (StdVec<u8>, StdVec<u8>) {
    let mut document = document.to_vec();
    let mut found = [None];
    read(&mut document, &[Member::new("one", Kind::Text)], &mut found, &mut Vec::<_, 0>::new()).unwrap();
    (found[0].unwrap().bytes_of(&document).to_vec(), document)
}

/// Any JSON value, read by serde_json, in which no object has a name twice.
struct WithoutDuplicates;

impl<'de> Deserialize<'de> for WithoutDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithoutDuplicates)
    }
}

impl<'de> Visitor<'de> for WithoutDuplicates {
    type Value = WithoutDuplicates;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<WithoutDuplicates>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, _)) = members.next_entry::<StdString, WithoutDuplicates>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("duplicate name"));
            }
        }
        Ok(self)
    }
}

/// What serde_json says; nothing about numbers beyond an `f64`, which are JSON all the same.
fn judge(document: &str) -> Option<bool> {
    match serde_json::from_str::<WithoutDuplicates>(document) {
        Ok(_) => Some(document.trim_start().starts_with('{')),
        Err(error) if error.to_string().contains("out of range") => None,
        Err(_) => Some(false),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = StdVec<(StdString, Value)>> {
    prop::collection::vec(("[ab\u{e9}\"\\\\\n]{0,2}", value), 0..4)
}

fn document() -> impl Strategy<Value = StdString> {
    object(value()).prop_map(|members| Value::Object(members.into_iter().collect()).to_string())
}

/// Pieces of JSON, right and wrong, in any order.
fn fragments() -> impl Strategy<Value = StdString> {
    let fragment = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u0061\"",
        "\"b\":",
        "\"a\":",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "0",
        "-",
        "1.5",
        "1e5",
        "01",
        ".",
        "true",
        "null",
        "nul",
        " ",
        "\n",
        "\"",
        "\\",
        "\u{0}",
        "\u{e9}",
        "\"\t\"",
    ]);
    prop::collection::vec(fragment, 0..10).prop_map(|fragments| format!("{{\"a\":{}", fragments.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_serde_json_writes_is_strict(document in document()) {
        prop_assert!(is_strict(&document), "{document}");
    }

    #[test]
    fn a_damaged_document_is_judged_as_by_serde_json(document in document(), at: prop::sample::Index, piece in "[\\x00-\\x7f]?") {
        let places: StdVec<(usize, char)> = document.char_indices().collect();
        let (place, replaced) = places[at.index(places.len())];
        let damaged = format!("{}{piece}{}", &document[..place], &document[place + replaced.len_utf8()..]);
        if let Some(verdict) = judge(&damaged) {
            prop_assert_eq!(is_strict(&damaged), verdict, "{}", damaged);
        }
    }

    #[test]
    fn fragments_are_judged_as_by_serde_json(document in fragments()) {
        if let Some(verdict) = judge(&document) {
            prop_assert_eq!(is_strict(&document), verdict, "{}", document);
        }
    }

    #[test]
    fn an_escaped_document_means_the_same(text in any::<StdString>(), spelled in any::<bool>()) {
        let json = if spelled {
            text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
        } else {
            let quoted = Value::from(text.as_str()).to_string();
            quoted[1..quoted.len() - 1].to_string()
        };
        let document = format!("{{\"two\":\"{json}\",\"one\":\"{json}\"}}");
        let (one, read) = text_of_one(document.as_bytes());
        prop_assert_eq!(one, text.as_bytes());
        prop_assert_eq!(read.len(), document.len());

    }

    #[test]
    fn reading_makes_no_document_utf_8_that_was_not_nor_the_reverse(
        pieces in prop::collection::vec(prop::sample::select(vec![
            &b"\xc3"[..], b"\xa9", b"\xe2", b"\x82", b"\xac", b"\xf0", b"\x9f", b"a", b"\\n", b"\\u0080", b"\\u20ac", b"\\ud83d\\ude00",
        ]), 0..8),
    ) {
        let document = [&b"{\"one\":\""[..], &pieces.concat(), b"\"}"].concat();
        let was_utf_8 = str::from_utf8(&document).is_ok();
        let (one, read) = text_of_one(&document);
        prop_assert_eq!(str::from_utf8(&one).is_ok(), was_utf_8);
        prop_assert_eq!(str::from_utf8(&read).is_ok(), was_utf_8);
    }
}

#[test]
fn documents_that_readers_disagree_about_are_refused() {
    for value in [
        "+1",
        "01",
        "-01",
        "1.",
        ".1",
        "-",
        "-.1",
        "1e",
        "1e+",
        "1.e1",
        "0x1",
        "1 2",
        "NaN",
        "Infinity",
        "-Infinity",
        "1_0",
        "\u{ff11}",
        "True",
        "TRUE",
        "tru",
        "truefalse",
        "nulll",
        "undefined",
        "'a'",
        "a",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "\"\\u12g4\"",
        "\"\\U0041\"",
        "\"\\a\"",
        "\"\\\n\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800\\\"",
        "\"\\ud800x\"",
        "\"\t\"",
        "\"\n\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[,]",
        "[1 1]",
        "[1:1]",
        "[1}",
        "{",
        "}",
        "{]",
        "{1:1}",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1;}",
        "{\"a\"::1}",
        "{\"a\":1]",
        "//",
        "1//",
        "1/**/",
        "1#",
        "",
        " ",
        ",",
        ":",
        "\u{a0}1",
        "1\u{a0}",
        "\u{feff}1",
        "\u{c}1",
        "\u{b}1",
        "1\u{0}",
        "[]]",
        "{}}",
    ] {
        for document in [
            format!("{{\"x\":{value}}}"),
            format!("{{\"x\":[{value}]}}"),
            format!("{{\"x\":{{\"y\":{value}}}}}"),
        ] {
            // `[]` and `[ ]` are what is left of an array without its value.
            if value.trim().is_empty() && document.contains('[') {
                continue;
            }
            assert!(!is_strict(&document), "{document:?}");
            assert_eq!(judge(&document), Some(false), "{document:?}");
        }
    }
}

#[test]
fn the_outermost_object_is_read_as_strictly_as_those_inside() {
    for document in [
        r#"{,"a":1}"#,
        r#"{"a":1,}"#,
        r#"{"a":1"b":2}"#,
        r#"{"a":1,,"b":2}"#,
        r#"{"a":1;"b":2}"#,
        r#"{"a":1]"#,
        r#"{"a":1}x"#,
        r#"{"a":1}}"#,
    ] {
        assert!(!is_strict(document), "{document}");
    }
}

#[test]
fn unusual_documents_that_are_json_are_accepted() {
    for value in [
        "0",
        "-0",
        "-0.0e-0",
        "1E+2",
        "1e999",
        "123456789012345678901234567890",
        "\"\"",
        "\"\u{7f}\"",
        "\"\u{2028}\"",
        "\"\\ud834\\udd1e\"",
        "\"\\uDBFF\\uDFFF\"",
        "\"\\/\\b\\f\\n\\r\\t\\\"\\\\\"",
        "\"\\u0000\"",
        "\"\u{10ffff}\"",
        "\"\u{fffe}\"",
        "[]",
        "{}",
        "[[],{}]",
        " [ ] ",
        "\t{\r\n}\t",
        "{\"\":{\"\":[]}}",
        "[null , true,false ]",
    ] {
        let document = format!(" {{ \"x\" : {value} }} ");
        assert!(is_strict(&document), "{document:?}");
    }
}

#[test]
fn every_beginning_of_a_document_is_refused() {
    let document = r#"{"a":[1,{"b\u0062":"\ud83d\ude00\n"}],"c":-1.5e+3,"d":true,"e":null}"#;
    assert!(is_strict(document));
    for len in 0..document.len() {
        assert!(!is_strict(&document[..len]), "{}", &document[..len]);
    }
}

#[test]
fn a_document_longer_than_a_span_can_say_is_not_opened() {
    let document = |padding: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(padding));
    let longest = DOCUMENT_LEN_MAX - document(0).len();
    assert!(is_strict(&document(longest)));
    assert!(!is_strict(&document(longest + 1)));
}

#[test]
fn a_hundred_thousand_nested_arrays_are_refused_without_recursion() {
    for document in
        [format!("{{\"x\":{}", "[".repeat(100_000)), "{\"x\":".repeat(100_000), "[".repeat(100_000)]
    {
        assert!(!is_strict(&document));
    }
    // The longest document that is read at all, so that depth alone is what refuses it.
    assert!(!is_strict(&format!("{{\"x\":{}", "[".repeat(DOCUMENT_LEN_MAX - 5))));
}

/// The scan by words against the scan by bytes, with the special byte and its neighbours at every place.
#[test]
fn the_plain_part_of_a_string_is_found_to_the_byte() {
    for special in 0..=u8::MAX {
        for before in 0..20 {
            for after in 0..10 {
                let mut bytes = vec![b'x'; before];
                bytes.push(special);
                bytes.extend(vec![special.wrapping_add(1); after]);
                let is_special = |&byte: &u8| byte < b' ' || byte == b'"' || byte == b'\\';
                let expected = bytes.iter().position(is_special).unwrap_or(bytes.len());
                assert_eq!(plain_len(&bytes), expected, "{special} at {before} with {after} after it");
            }
        }
    }
}

#[test]
fn escapes_are_undone_where_they_stand_and_what_they_leave_over_is_blank() {
    let (one, document) = text_of_one(br#"{"one":"\u00E9\u00e9\/\b\f\n\r\t\"\\x"}"#);
    let text = "\u{e9}\u{e9}/\u{8}\u{c}\n\r\t\"\\x";
    assert_eq!(one, text.as_bytes());
    assert_eq!(document, format!("{{\"one\":\"{text}{}\"}}", " ".repeat(16)).into_bytes());
}

#[test]
fn a_member_is_found_in_the_outermost_object_only_however_its_name_is_spelled() {
    for document in [
        r#"{"one":"1"}"#,
        r#"{"two":{"one":2},"one":"1"}"#,
        r#"{"two":[{"one":2,"ones":3}],"on":4,"one":"1"}"#,
        "{ \"one\" :\"1\" }",
        r#"{"\u006fne":"1"}"#,
        r#"{"o\u006e\u0065":"1","two":{"\u006fne":2}}"#,
    ] {
        assert_eq!(text_of_one(document.as_bytes()).0, b"1", "{document}");
    }
    for document in
        [r#"{"one":"1","\u006fne":"1"}"#, r#"{"one":"1","one":"1"}"#, r#"{"one":1}"#, r#"{"one":["1"]}"#]
    {
        let members = [Member::new("one", Kind::Text)];
        let read = read(&mut document.as_bytes().to_vec(), &members, &mut [None], &mut Vec::<_, 0>::new());
        assert_eq!(read, Err(Fault::invalid(0)), "{document}");
    }
}
