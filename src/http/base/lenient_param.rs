//! One value from a query or a path: text that serde may read as a number, a boolean, a name or an id.
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::flaw::{Flaw, one_of};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Param<'a>(pub(crate) &'a str);

/// Text that no parameter may hold: it would be refused deeper down, by the database, as our fault.
pub(crate) fn is_clean(text: &str) -> bool {
    !text.contains(['\0', char::REPLACEMENT_CHARACTER])
}

impl<'a> IntoDeserializer<'a, Flaw> for Param<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $expected:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
            let detail = || concat!("expected ", $expected).to_owned();
            let wrong = |_| Flaw::Other { code: "wrong_type", detail: detail() };
            visitor.$visit(self.0.parse().map_err(wrong)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Param<'de> {
    type Error = Flaw;

    parsed! {
        deserialize_bool visit_bool "true or false"
        deserialize_i8 visit_i8 "a whole number"
        deserialize_i16 visit_i16 "a whole number"
        deserialize_i32 visit_i32 "a whole number"
        deserialize_i64 visit_i64 "a whole number"
        deserialize_u8 visit_u8 "a whole number, not negative"
        deserialize_u16 visit_u16 "a whole number, not negative"
        deserialize_u32 visit_u32 "a whole number, not negative"
        deserialize_u64 visit_u64 "a whole number, not negative"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        if !variants.contains(&self.0) {
            return Err(Flaw::Other { code: "unknown_value", detail: one_of(variants) });
        }
        visitor.visit_enum(StrDeserializer::<Flaw>::new(self.0))
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
