//! Writes values as MessagePack: the most frequent ones directly, all others by `rmp-serde`, to the same bytes.

use rmp_serde::config::{DefaultConfig, StructMapConfig};
use rmp_serde::encode::Error;
use serde::{Serialize, Serializer};

use super::short::Short;
use crate::manager::wire::pack;

/// Structs as maps, so that other languages see names.
type Rest<'a> = rmp_serde::Serializer<&'a mut Short, StructMapConfig<DefaultConfig>>;

/// Writes a value behind what is there.
#[inline]
pub(super) fn write<T: Serialize + ?Sized>(out: &mut Short, value: &T) -> Result<(), Error> {
    value.serialize(Direct(&mut rmp_serde::Serializer::new(out).with_struct_map()))
}

/// A text that is longer is written by the other serializer.
const SHORT_TEXT: usize = 31;

struct Direct<'a, 'b>(&'a mut Rest<'b>);

impl Direct<'_, '_> {
    #[inline]
    fn put(self, bytes: &[u8]) -> Result<(), Error> {
        self.0.get_mut().extend(bytes);
        Ok(())
    }
}

macro_rules! unsigned {
    ($($method:ident: $of:ty),*) => {
        $(#[inline]
        fn $method(self, value: $of) -> Result<(), Error> {
            let (bytes, len) = pack::uint_in(value.into());
            self.put(&bytes[..len])
        })*
    };
}

macro_rules! signed {
    ($($method:ident: $of:ty),*) => {
        $(#[inline]
        fn $method(self, value: $of) -> Result<(), Error> {
            match u64::try_from(value) {
                Ok(value) => self.serialize_u64(value),
                Err(_) => self.0.$method(value),
            }
        })*
    };
}

macro_rules! by_the_rest {
    ($($method:ident($($argument:ident: $of:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $($argument: $of),*) -> Result<$result, Error> {
            self.0.$method($($argument),*)
        })*
    };
}

impl<'a, 'b> Serializer for Direct<'a, 'b> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = <&'a mut Rest<'b> as Serializer>::SerializeSeq;
    type SerializeTuple = <&'a mut Rest<'b> as Serializer>::SerializeTuple;
    type SerializeTupleStruct = <&'a mut Rest<'b> as Serializer>::SerializeTupleStruct;
    type SerializeTupleVariant = <&'a mut Rest<'b> as Serializer>::SerializeTupleVariant;
    type SerializeMap = <&'a mut Rest<'b> as Serializer>::SerializeMap;
    type SerializeStruct = <&'a mut Rest<'b> as Serializer>::SerializeStruct;
    type SerializeStructVariant = <&'a mut Rest<'b> as Serializer>::SerializeStructVariant;

    unsigned! { serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64 }
    signed! { serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64 }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.put(&[if value { 0xc3 } else { 0xc2 }])
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        if value.len() > SHORT_TEXT {
            return self.0.serialize_str(value);
        }
        let out = self.0.get_mut();
        out.extend(&[0xa0 | value.len() as u8]);
        out.extend(value.as_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.put(&[0xc0])
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Error> {
        self.put(&[0xc0])
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.0.serialize_newtype_struct(name, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.0.serialize_newtype_variant(name, index, variant, value)
    }

    by_the_rest! {
        serialize_i128(value: i128) -> ();
        serialize_u128(value: u128) -> ();
        serialize_f32(value: f32) -> ();
        serialize_f64(value: f64) -> ();
        serialize_char(value: char) -> ();
        serialize_bytes(value: &[u8]) -> ();
        serialize_unit_struct(name: &'static str) -> ();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> ();
        serialize_seq(len: Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(len: usize) -> Self::SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> Self::SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> Self::SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> Self::SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> Self::SerializeStructVariant;
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn same(value: &(impl Serialize + ?Sized)) {
        let mut out = Short::new();
        write(&mut out, value).unwrap();
        assert_eq!(&*out, &rmp_serde::to_vec_named(value).unwrap()[..]);
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct New(u16);

    #[derive(Serialize)]
    struct Pair(i8, Option<&'static str>);

    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle(f32),
        Line(u8, u8),
        Box { width: i64, name: String },
    }

    #[test]
    fn both_ways_write_the_same_bytes() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                same(&value);
                same(&(value as u8, value as u16, value as u32));
                same(&(value as u8));
                same(&(value as u16));
                same(&(value as u32));
                for value in [value as i64, (value as i64).wrapping_neg()] {
                    same(&value);
                    same(&(value as i8));
                    same(&(value as i16));
                    same(&(value as i32));
                }
            }
        }
        for len in [0, 1, 30, 31, 32, 33, 255, 256, 70_000] {
            same(&"x".repeat(len)[..]);
            same(&vec![7u8; len]);
        }
        same(&(true, false, 1.5f32, -2.5f64, 'c', "text", ()));
        same(&true);
        same(&-2.5f64);
        same(&'c');
        same(&Some(5));
        same(&None::<u8>);
        same(&());
        same(&Unit);
        same(&New(300));
        same(&Pair(-1, Some("one")));
        for shape in [
            Shape::Point,
            Shape::Circle(1.0),
            Shape::Line(1, 2),
            Shape::Box { width: -3, name: "box".into() },
        ] {
            same(&shape);
            same(&Some(shape));
        }
        same(&BTreeMap::from([("a", vec![1, -1]), ("b", vec![])]));
        same(&[Some(1u128), None]);
    }
}
