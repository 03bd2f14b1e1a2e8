//! Reads claims into a type of the caller's, out of JSON that the strict reader has passed.
//!
//! One pass, which undoes the escapes of each string where it stands: so there is no other memory to run out of. Every
//! call that a type can make is answered, with a value or with an error, and none panics. It nests as deep as the type
//! does, and in types that take whatever comes at most [`DEPTH_MAX`](crate::DEPTH_MAX).

use core::{fmt, str};

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer as _, Visitor};
use serde::forward_to_deserialize_any;

use crate::json::{Cursor, Fault};
use crate::verify::VerifyError;

/// Reads one value. Its document need not be strict to do so without a panic, but to mean what the strict reader saw.
pub(crate) fn read<T: DeserializeOwned>(json: &mut [u8]) -> Result<T, Mismatch> {
    T::deserialize(&mut Reader { cursor: Cursor::new(json) })
}

/// A value is not what the type asks for; of which field, if that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mismatch {
    pub(crate) field: Option<&'static str>,
}

/// Whatever the type has to say cannot be kept without a heap, but for the names of its own fields.
impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Mismatch::default()
    }

    fn missing_field(field: &'static str) -> Self {
        Mismatch { field: Some(field) }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Mismatch { field: Some(field) }
    }
}

impl From<Fault> for Mismatch {
    fn from(_: Fault) -> Self {
        Mismatch::default()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.unwrap_or("the claims"))
    }
}

impl core::error::Error for Mismatch {}

/// Why [`verify_as`](crate::Verifier::verify_as) gave no claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TypedError {
    /// The token was not accepted.
    Refused(VerifyError),
    /// The token is good, but its claims are not what the type asks for.
    WrongClaims {
        /// The field that is missing, comes twice, or has another value than its type takes; the innermost one that is
        /// known. Flattened fields are known when they are missing only.
        field: Option<&'static str>,
    },
}

impl From<VerifyError> for TypedError {
    fn from(error: VerifyError) -> Self {
        TypedError::Refused(error)
    }
}

impl From<Mismatch> for TypedError {
    fn from(Mismatch { field }: Mismatch) -> Self {
        TypedError::WrongClaims { field }
    }
}

impl fmt::Display for TypedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TypedError::Refused(error) => error.fmt(f),
            TypedError::WrongClaims { field: None } => {
                f.write_str("the claims are not those that were asked for")
            }
            TypedError::WrongClaims { field: Some(field) } => {
                f.write_str("the claims are not those that were asked for: ")?;
                f.write_str(field)
            }
        }
    }
}

impl core::error::Error for TypedError {}

struct Reader<'d> {
    cursor: Cursor<'d>,
}

impl Reader<'_> {
    /// The first byte of what comes next.
    fn peek(&mut self) -> u8 {
        let token = self.cursor.token();
        self.cursor.at -= 1;
        token
    }

    /// Passes this byte, which has to come next.
    fn expect(&mut self, byte: u8) -> Result<(), Mismatch> {
        if self.cursor.token() == byte { Ok(()) } else { Err(Mismatch::default()) }
    }

    /// Passes a `true`, a `false` or a `null`, whose first byte has been seen.
    fn literal(&mut self) -> Result<(), Mismatch> {
        let first = self.cursor.token();
        self.cursor.scalar(first)?;
        Ok(())
    }

    fn number(&mut self) -> Result<&[u8], Mismatch> {
        let first @ (b'-' | b'0'..=b'9') = self.cursor.token() else { return Err(Mismatch::default()) };
        let number = self.cursor.scalar(first)?;
        Ok(self.cursor.bytes(number))
    }

    fn text(&mut self) -> Result<&str, Mismatch> {
        self.expect(b'"')?;
        let text = self.cursor.string()?;
        str::from_utf8(self.cursor.bytes(text)).map_err(|_| Mismatch::default())
    }

    /// Passes a value of any kind, without recursion.
    fn skip(&mut self) -> Result<(), Mismatch> {
        let mut depth = 0_usize;
        loop {
            match self.cursor.token() {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' | b':' => {}
                first => {
                    self.cursor.scalar(first)?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Whether another element or member comes before this end, which is not passed.
    fn has_next(&mut self, is_first: &mut bool, end: u8) -> Result<bool, Mismatch> {
        if self.peek() == end {
            return Ok(false);
        }
        if !*is_first {
            self.expect(b',')?;
        }
        *is_first = false;
        Ok(true)
    }

    fn map<'de, V: Visitor<'de>>(
        &mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.expect(b'{')?;
        let value = visitor.visit_map(Members { reader: self, is_first: true, fields, field: None })?;
        self.expect(b'}')?;
        Ok(value)
    }
}

/// Visits a number without a fraction or an exponent that fits into 64 bits.
fn visit_integer<'de, V: Visitor<'de>>(number: &[u8], visitor: V) -> Result<V::Value, Mismatch> {
    match integer(number).ok_or_else(Mismatch::default)? {
        Integer::Positive(number) => visitor.visit_u64(number),
        Integer::Negative(number) => visitor.visit_i64(number),
    }
}

enum Integer {
    Positive(u64),
    Negative(i64),
}

/// `-0` is none: it stands for a float, as it does to `serde_json`.
fn integer(number: &[u8]) -> Option<Integer> {
    let (is_negative, digits) = number.strip_prefix(b"-").map_or((false, number), |digits| (true, digits));
    let mut value = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    match (is_negative, value) {
        (false, value) => Some(Integer::Positive(value)),
        (true, 0) => None,
        (true, value) => 0_i64.checked_sub_unsigned(value).map(Integer::Negative),
    }
}

/// Visits a number as a float. Who asks for none does not pay for reading one.
fn visit_float<'de, V: Visitor<'de>>(number: &[u8], visitor: V) -> Result<V::Value, Mismatch> {
    let number = str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
    // Infinity is not JSON, so a number beyond all floats is none.
    visitor.visit_f64(number.filter(|number| number.is_finite()).ok_or_else(Mismatch::default)?)
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            visit_integer(self.number()?, visitor)
        }
    )*};
}

macro_rules! floats {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            let number = self.number()?;
            match integer(number) {
                Some(_) => visit_integer(number, visitor),
                None => visit_float(number, visitor),
            }
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            visitor.visit_str(self.text()?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_> {
    type Error = Mismatch;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }
    floats! { deserialize_f32 deserialize_f64 }
    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.peek() {
            b'"' => self.deserialize_str(visitor),
            b'{' => self.deserialize_map(visitor),
            b'[' => self.deserialize_seq(visitor),
            b't' | b'f' => self.deserialize_bool(visitor),
            b'n' => self.deserialize_unit(visitor),
            _ => self.deserialize_f64(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let is_true = match self.peek() {
            b't' => true,
            b'f' => false,
            _ => return Err(Mismatch::default()),
        };
        self.literal()?;
        visitor.visit_bool(is_true)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.peek() == b'[' {
            self.deserialize_seq(visitor)
        } else {
            visitor.visit_bytes(self.text()?.as_bytes())
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.peek() != b'n' {
            return visitor.visit_some(self);
        }
        self.literal()?;
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.peek() != b'n' {
            return Err(Mismatch::default());
        }
        self.literal()?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.expect(b'[')?;
        let value = visitor.visit_seq(Elements { reader: self, is_first: true })?;
        self.expect(b']')?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.map(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.map(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if self.peek() == b'"' {
            return visitor.visit_enum(self.text()?.into_deserializer());
        }
        self.expect(b'{')?;
        let value = visitor.visit_enum(&mut *self)?;
        self.expect(b'}')?;
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.skip()?;
        visitor.visit_unit()
    }
}

/// What is left of an array.
struct Elements<'a, 'd> {
    reader: &'a mut Reader<'d>,
    is_first: bool,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, '_> {
    type Error = Mismatch;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        if !self.reader.has_next(&mut self.is_first, b']')? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// What is left of an object.
struct Members<'a, 'd> {
    reader: &'a mut Reader<'d>,
    is_first: bool,
    fields: &'static [&'static str],
    /// The one whose value is next.
    field: Option<&'static str>,
}

impl<'de> de::MapAccess<'de> for Members<'_, '_> {
    type Error = Mismatch;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        if !self.reader.has_next(&mut self.is_first, b'}')? {
            return Ok(None);
        }
        let name = self.reader.text()?;
        self.field = self.fields.iter().copied().find(|&field| field == name);
        seed.deserialize(Name(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        self.reader.expect(b':')?;
        // The innermost field that is known is the one to look at.
        let named = |found: Mismatch| Mismatch { field: found.field.or(self.field) };
        seed.deserialize(&mut *self.reader).map_err(named)
    }
}

/// The name of a member, which is a text whatever is asked for.
struct Name<'n>(&'n str);

impl<'de> de::Deserializer<'de> for Name<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant with something in it: an object of one member.
impl<'de> de::EnumAccess<'de> for &mut Reader<'_> {
    type Error = Mismatch;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Mismatch> {
        let variant = seed.deserialize(Name(self.text()?))?;
        self.expect(b':')?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'_> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Mismatch> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mismatch> {
        de::Deserializer::deserialize_seq(self, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.map(fields, visitor)
    }
}
