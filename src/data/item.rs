//! What a list can hold.

/// One item of a [`ShareableList`](crate::ShareableList): nothing, a bool, an integer, a float, text, or bytes.
///
/// Items are equal if their types and values are: the integer 1 is neither `true` nor 1.0 here, unlike in Python.
///
/// ```
/// use procshare::Item;
///
/// assert_eq!(Item::from("text"), Item::Str("text".to_owned()));
/// assert_eq!(Item::from(7).as_int(), Some(7));
/// assert_ne!(Item::from(1), Item::from(true));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// How an item lies in a list of ours: a number for its type, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    None = 0,
    Bool = 1,
    Int = 2,
    Float = 3,
    Str = 4,
    Bytes = 5,
}

impl Item {
    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Item::Bool(value) = self { Some(*value) } else { None }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        if let Item::Int(value) = self { Some(*value) } else { None }
    }

    /// The floating-point number, if it is one.
    pub fn as_float(&self) -> Option<f64> {
        if let Item::Float(value) = self { Some(*value) } else { None }
    }

    /// The text, if it is some.
    pub fn as_str(&self) -> Option<&str> {
        if let Item::Str(value) = self { Some(value) } else { None }
    }

    /// The bytes, if it is bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Item::Bytes(value) = self { Some(value) } else { None }
    }

    /// How many bytes a new list keeps for the item and its successors: 8 for all but text and bytes, which get the next
    /// multiple of 8 that is larger than they are.
    pub(super) fn room(&self) -> usize {
        match self {
            Item::Str(text) => text.len() / 8 * 8 + 8,
            Item::Bytes(bytes) => bytes.len() / 8 * 8 + 8,
            _ => 8,
        }
    }

    /// Lends type and bytes to `store`.
    pub(super) fn encode<R>(&self, store: impl FnOnce(Tag, &[u8]) -> R) -> R {
        match self {
            Item::None => store(Tag::None, &[]),
            Item::Bool(value) => store(Tag::Bool, &[u8::from(*value)]),
            Item::Int(value) => store(Tag::Int, &value.to_ne_bytes()),
            Item::Float(value) => store(Tag::Float, &value.to_ne_bytes()),
            Item::Str(value) => store(Tag::Str, value.as_bytes()),
            Item::Bytes(value) => store(Tag::Bytes, value),
        }
    }

    /// The item of this type and these bytes; `None` if there is no such item.
    pub(super) fn decode(tag: u8, bytes: Vec<u8>) -> Option<Self> {
        Some(match (tag, bytes.as_slice()) {
            (0, []) => Item::None,
            (1, [value @ 0..=1]) => Item::Bool(*value == 1),
            (2, value) => Item::Int(i64::from_ne_bytes(value.try_into().ok()?)),
            (3, value) => Item::Float(f64::from_ne_bytes(value.try_into().ok()?)),
            (4, _) => Item::Str(String::from_utf8(bytes).ok()?),
            (5, _) => Item::Bytes(bytes),
            _ => return None,
        })
    }

    /// What Python's `struct` module calls the item where there are `room` bytes for it.
    pub(super) fn format(&self, room: usize) -> String {
        match self {
            Item::None => "xxxxxx?x".into(),
            Item::Bool(_) => "xxxxxxx?".into(),
            Item::Int(_) => "q".into(),
            Item::Float(_) => "d".into(),
            Item::Str(_) | Item::Bytes(_) => format!("{room}s"),
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $item:expr;)*) => {$(
        impl From<$type> for Item {
            fn from($value: $type) -> Self { $item }
        }
    )*};
}

from! {
    () => |_nothing| Item::None;
    bool => |value| Item::Bool(value);
    i8 => |value| Item::Int(value.into());
    i16 => |value| Item::Int(value.into());
    i32 => |value| Item::Int(value.into());
    i64 => |value| Item::Int(value);
    u8 => |value| Item::Int(value.into());
    u16 => |value| Item::Int(value.into());
    u32 => |value| Item::Int(value.into());
    f32 => |value| Item::Float(value.into());
    f64 => |value| Item::Float(value);
    &str => |value| Item::Str(value.to_owned());
    String => |value| Item::Str(value);
    &[u8] => |value| Item::Bytes(value.to_owned());
    Vec<u8> => |value| Item::Bytes(value);
}

impl<const N: usize> From<&[u8; N]> for Item {
    fn from(value: &[u8; N]) -> Self {
        Item::Bytes(value.to_vec())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_else_is() {
        let items = [
            Item::None,
            Item::Bool(true),
            Item::Int(i64::MIN),
            Item::Float(-0.5),
            Item::Str("é\0".into()),
            Item::Bytes(vec![0, 255, 0]),
        ];
        for item in items {
            let (tag, bytes) = item.encode(|tag, bytes| (tag as u8, bytes.to_vec()));
            assert_eq!(Item::decode(tag, bytes), Some(item));
        }
        let wrong: [(u8, &[u8]); 8] =
            [(0, &[0]), (1, &[2]), (1, &[]), (2, &[0; 7]), (3, &[0; 9]), (4, &[0xff]), (6, &[]), (255, &[1])];
        for (tag, bytes) in wrong {
            assert_eq!(Item::decode(tag, bytes.to_vec()), None, "{tag} {bytes:?}");
        }
    }
}
