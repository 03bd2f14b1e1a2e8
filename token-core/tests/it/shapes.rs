//! Any claims, read into types of every shape that serde derives: no panic, and what serde_json reads where both read.
//!
//! Once a map with text for keys made the reader panic, and with it whoever had verified a token of another issuer.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use token_core::{TypedError, Verifier, payload_len_max};

use crate::support::{HEADER, NOW, forge, key};

fn ours<T: DeserializeOwned>(claims: &str) -> Result<T, TypedError> {
    let token = forge(HEADER, claims);
    let mut buffer = vec![0; payload_len_max(token.len())];
    Verifier::new(&[key()]).any_audience().verify_as(&token, NOW, &mut buffer).map(|(_, typed)| typed)
}

/// Whether both read it, and alike.
fn agree<T: DeserializeOwned + PartialEq + Debug>(claims: &str) -> Result<bool, TestCaseError> {
    match (ours::<T>(claims), serde_json::from_str::<T>(claims)) {
        (Ok(ours), Ok(theirs)) => {
            prop_assert_eq!(&ours, &theirs, "{}", claims);
            Ok(true)
        }
        (Ok(ours), Err(theirs)) => {
            prop_assert!(false, "read by us alone: {claims} as {ours:?}: {theirs}");
            Ok(false)
        }
        (Err(TypedError::Refused(error)), _) => {
            prop_assert!(false, "{error}: {claims}");
            Ok(false)
        }
        (Err(_), _) => Ok(false),
    }
}

fn with_exp(members: &str) -> String {
    format!(r#"{{"exp":{},{members}}}"#, NOW + 60)
}

/// Read by both, and alike.
fn read_by_both<T: DeserializeOwned + PartialEq + Debug>(members: &str) {
    let claims = with_exp(members);
    assert!(agree::<T>(&claims).unwrap(), "{claims}: {:?}", ours::<T>(&claims));
}

#[derive(Deserialize, PartialEq, Debug)]
struct Scalars {
    a: Option<u8>,
    b: Option<i64>,
    #[serde(default)]
    c: Option<bool>,
    d: Option<f64>,
    e: Option<char>,
    f: Option<String>,
    g: Option<()>,
    h: Option<f32>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Flattened {
    exp: u64,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Inner {
    #[serde(default)]
    a: Option<Value>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "f")]
enum Inside {
    A {
        b: i64,
    },
    B(Scalars),
    #[serde(other)]
    Other,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "f", content = "a")]
enum Adjacent {
    A,
    B(Vec<Value>),
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    Number { a: i64 },
    Text { a: String },
    Many { a: Vec<Untagged> },
    Whatever(BTreeMap<String, Value>),
}

#[derive(Deserialize, PartialEq, Debug)]
enum Outside {
    A,
    B(u64),
    C(i8, Option<String>),
    D { a: Option<Value> },
}

#[derive(Deserialize, PartialEq, Debug)]
struct Enums {
    #[serde(default)]
    a: Option<Outside>,
    #[serde(default)]
    b: Vec<Outside>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Newtype(u16);

#[derive(Deserialize, PartialEq, Debug)]
struct Unit;

#[derive(Deserialize, PartialEq, Debug)]
struct Tuples {
    a: Option<(u8, String)>,
    b: Option<[i16; 2]>,
    c: Option<Newtype>,
    d: Option<Unit>,
    e: Option<(Newtype, (f64, bool), Vec<()>)>,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
enum Name {
    A,
    Exp,
    #[serde(other)]
    Other,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Closed {
    exp: u64,
    a: Option<Box<Closed>>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(transparent)]
struct Transparent {
    map: BTreeMap<Option<String>, Value>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct OfNumbers {
    a: BTreeMap<u32, Value>,
}

/// Numbers have exact floats, so that a last digit is not what differs.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-300..300_i64).prop_map(Value::from),
        (-1000..1000_i32).prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        ".{0,4}".prop_map(Value::from),
        prop::sample::select(vec!["A", "B", "C", "D", "a", "\n", "\"\\", "40", "", "true"])
            .prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            members(inner).prop_map(Value::Object),
        ]
    })
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![4 => "[a-h]", 2 => "[ABCD]", 1 => ".{0,3}", 1 => Just("4".to_owned())];
    prop::collection::vec((name, value), 0..5).prop_map(|members| members.into_iter().collect())
}

/// Any claims whose registered ones are good.
fn claims() -> impl Strategy<Value = String> {
    (members(value()), any::<bool>(), any::<bool>()).prop_map(|(mut members, is_spaced, is_escaped)| {
        members.insert("exp".to_owned(), Value::from(NOW + 60));
        let claims = Value::Object(members);
        let json = if is_spaced { format!("{claims:#}") } else { claims.to_string() };
        if is_escaped { escape_letters(&json) } else { json }
    })
}

/// Spells each `a` in a text as an escape: names, values, and whatever stands before and after them.
fn escape_letters(json: &str) -> String {
    let (mut escaped, mut is_inside, mut is_after_backslash) = (String::new(), false, false);
    for character in json.chars() {
        match character {
            'a' if is_inside && !is_after_backslash => escaped += "\\u0061",
            other => escaped.push(other),
        }
        is_inside ^= character == '"' && !is_after_backslash;
        is_after_backslash = character == '\\' && !is_after_backslash;
    }
    escaped
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_claims_are_read_into_any_shape_as_by_serde_json_or_not_at_all(claims in claims()) {
        prop_assert!(agree::<Value>(&claims)?, "{claims}");
        prop_assert!(agree::<BTreeMap<String, Value>>(&claims)?, "{claims}");
        prop_assert!(agree::<Transparent>(&claims)?, "{claims}");
        prop_assert!(agree::<BTreeMap<Name, serde::de::IgnoredAny>>(&claims).is_ok());
        prop_assert!(agree::<Flattened>(&claims)?, "{claims}");
        agree::<BTreeMap<String, u64>>(&claims)?;
        agree::<BTreeMap<char, Value>>(&claims)?;
        agree::<Scalars>(&claims)?;
        agree::<Inside>(&claims)?;
        agree::<Adjacent>(&claims)?;
        agree::<Untagged>(&claims)?;
        agree::<Enums>(&claims)?;
        agree::<Outside>(&claims)?;
        agree::<Tuples>(&claims)?;
        agree::<Closed>(&claims)?;
        agree::<OfNumbers>(&claims)?;
        agree::<(u64, String)>(&claims)?;
        agree::<u128>(&claims)?;
    }
}

#[test]
fn maps_are_read() {
    read_by_both::<BTreeMap<String, Value>>(r#""a":[1,{"b":null}],"n\u0069":{"c":{"d":1.5e3}}"#);
    read_by_both::<BTreeMap<String, u64>>(r#""a":1,"b":18446744073709551615"#);
    read_by_both::<BTreeMap<Name, u64>>(r#""a":1"#);
    read_by_both::<Transparent>(r#""a":-0"#);
}

#[test]
fn flattened_tagged_and_untagged_types_are_read() {
    read_by_both::<Flattened>(r#""a":{"b":[]},"c":-1.25"#);
    read_by_both::<Inside>(r#""b":-7,"f":"A""#);
    read_by_both::<Inside>(r#""f":"B","a":255,"b":-9223372036854775808,"e":"\ud83d\ude00""#);
    read_by_both::<Inside>(r#""f":"Z""#);
    read_by_both::<Adjacent>(r#""a":[1,"b"],"f":"B""#);
    read_by_both::<Untagged>(r#""a":[{"a":1},{"a":"b"},{"a":[]},{}]"#);
}

#[test]
fn enums_and_tuples_are_read() {
    read_by_both::<Enums>(
        r#""a":"A","b":["A",{"B":1},{"C":[-1,"x"]},{"C":[1,null]},{"D":{"a":[{}]}},{"A":null}]"#,
    );
    read_by_both::<Tuples>(r#""a":[1,"b"],"b":[-1,2],"c":3,"d":null,"e":[4,[0.5,true],[null,null]]"#);
    read_by_both::<Scalars>(
        r#""a":1,"b":-1,"c":false,"d":1,"e":"\n","f":"","g":null,"h":-2.5,"z":[[],{"y":{}}]"#,
    );
}

#[test]
fn there_is_no_reading_into_some_types_and_that_is_an_error() {
    for error in [
        ours::<OfNumbers>(&with_exp(r#""a":{"4":1}"#)).map(|_| ()).unwrap_err(),
        ours::<Tuples>(&with_exp(r#""a":[1,"b",2]"#)).map(|_| ()).unwrap_err(),
        ours::<Tuples>(&with_exp(r#""a":[1]"#)).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error, TypedError::WrongClaims { field: Some("a") });
    }
    for error in [
        ours::<u128>(&with_exp(r#""a":1"#)).map(|_| ()).unwrap_err(),
        ours::<(u64, String)>(&with_exp(r#""a":1"#)).map(|_| ()).unwrap_err(),
        ours::<BTreeMap<String, u128>>(&with_exp(r#""a":1"#)).map(|_| ()).unwrap_err(),
        ours::<BTreeMap<(u8, u8), u64>>(&with_exp(r#""a":1"#)).map(|_| ()).unwrap_err(),
        ours::<Value>(&with_exp(r#""a":1e999"#)).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error, TypedError::WrongClaims { field: None });
    }
}
