//! `Path<T>`: the ids in an address. One that cannot be read is bad input (400), not an absent resource.
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_path_to_error::Segment;

use super::flaw::Flaw;
use super::lenient_param::{Param, is_clean};
use super::problem::Problem;

/// `T` is one value, a tuple in the order of the route, or a struct with the names of the route.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let raw =
            RawPathParams::from_request_parts(parts, state).await.map_err(|rejection| match rejection {
                RawPathParamsRejection::InvalidUtf8InPathParam(_) => {
                    Problem::invalid_field("", "invalid", "the path is not UTF-8")
                }
                other => wrong_route(&other.to_string()),
            })?;
        let params: Vec<(&str, &str)> = raw.iter().collect();
        if let Some((name, _)) = params.iter().find(|(_, value)| !is_clean(value)) {
            return Err(Problem::invalid_field(name, "invalid", "U+0000 is not allowed"));
        }
        serde_path_to_error::deserialize(Params(&params)).map(Self).map_err(|error| {
            let name = match error.path().iter().next() {
                Some(Segment::Map { key }) => Some(key.as_str()),
                Some(Segment::Seq { index }) => params.get(*index).map(|(name, _)| *name),
                _ if params.len() == 1 => Some(params[0].0),
                _ => None,
            };
            match (name, error.inner()) {
                (Some(name), Flaw::Other { code, detail }) => {
                    Problem::invalid_field(name, code, detail.clone())
                }
                (_, flaw) => wrong_route(&flaw.to_string()),
            }
        })
    }
}

/// The handler asks for what its route does not hold: our mistake, not the caller's.
fn wrong_route(why: &str) -> Problem {
    tracing::error!(why, "a route and its handler disagree about path parameters");
    Problem::internal()
}

#[derive(Clone, Copy)]
struct Params<'a>(&'a [(&'a str, &'a str)]);

impl<'a> Params<'a> {
    fn only(self) -> Result<Param<'a>, Flaw> {
        match self.0 {
            [(_, value)] => Ok(Param(value)),
            _ => Err(Flaw::MissingField("a single parameter")),
        }
    }
}

macro_rules! single {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Params<'de> {
    type Error = Flaw;

    single! {
        deserialize_any deserialize_bool deserialize_option
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Flaw> {
        if length != self.0.len() {
            return Err(Flaw::MissingField("as many parameters as the handler asks for"));
        }
        visitor.visit_seq(SeqDeserializer::new(self.0.iter().map(|(_, value)| Param(value))))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_map(MapDeserializer::new(self.0.iter().map(|(name, value)| (*name, Param(value)))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq identifier ignored_any
    }
}
