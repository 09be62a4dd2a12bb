//! A value of any shape.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::{Bytes, ExtensionVisitor, Object, object_of};
use crate::manager::wire::pack::REFERENCE;

/// A value of any shape, for objects with mixed content.
///
/// ```
/// use procshare::manager::Any;
///
/// let mixed: Vec<(Any, Any)> =
///     vec![(0.25.into(), Any::Nil), (1.into(), "1".into()), ("2".into(), 2.into())];
/// assert_eq!(mixed[1].0, Any::Int(1));
/// ```
///
/// Integers that came as unsigned and fit are [`Any::Int`]. As keys, `1` and `1.0` are equal; as values of this type they are not.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Any {
    /// Nothing: `None`, `()`.
    #[default]
    Nil,
    /// A bool.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that is greater than every `i64`.
    Uint(u64),
    /// A float.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in a row.
    List(Vec<Any>),
    /// Pairs of key and value, in the order they were written.
    Map(Vec<(Any, Any)>),
    /// Another object of the manager.
    Object(Object),
    /// A MessagePack extension that is none of ours.
    Extension(i8, Vec<u8>),
}

macro_rules! from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$from> for Any {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

from! {
    () => |_nothing| Any::Nil;
    bool => |value| Any::Bool(value);
    i32 => |value| Any::Int(value.into());
    u32 => |value| Any::Int(value.into());
    i64 => |value| Any::Int(value);
    u64 => |value| i64::try_from(value).map_or(Any::Uint(value), Any::Int);
    f64 => |value| Any::Float(value);
    &str => |value| Any::Text(value.into());
    String => |value| Any::Text(value);
    Vec<Any> => |value| Any::List(value);
    Vec<(Any, Any)> => |value| Any::Map(value);
    Object => |value| Any::Object(value);
}

impl<T: Into<Any>> From<Option<T>> for Any {
    fn from(value: Option<T>) -> Self {
        value.map_or(Any::Nil, Into::into)
    }
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Any::Nil => serializer.serialize_unit(),
            Any::Bool(value) => serializer.serialize_bool(*value),
            Any::Int(value) => serializer.serialize_i64(*value),
            Any::Uint(value) => serializer.serialize_u64(*value),
            Any::Float(value) => serializer.serialize_f64(*value),
            Any::Text(value) => serializer.serialize_str(value),
            Any::Bytes(value) => serializer.serialize_bytes(value),
            Any::List(items) => serializer.collect_seq(items),
            Any::Map(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (key, value))),
            Any::Object(object) => object.serialize(serializer),
            Any::Extension(kind, data) => {
                serializer.serialize_newtype_struct("_ExtStruct", &(*kind, Bytes(data)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Any, E> {
        Ok(Any::Nil)
    }

    fn visit_none<E>(self) -> Result<Any, E> {
        Ok(Any::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Any, D::Error> {
        Any::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
        Ok(Any::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
        Ok(Any::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
        Ok(Any::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Any, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Any, E> {
        Ok(Any::Bytes(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Any, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Any::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Any, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Any::Map(map))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Any, D::Error> {
        let (kind, data) = ExtensionVisitor.visit_newtype_struct(deserializer)?;
        match kind {
            REFERENCE => object_of(&data).map(Any::Object).map_err(serde::de::Error::custom),
            _ => Ok(Any::Extension(kind, data)),
        }
    }
}
