//! Keys and order of MessagePack values: which are equal, and which comes first.
//!
//! Two encodings are the same key if their canonical forms are the same bytes. The canonical form writes integers in their
//! shortest form, floats that are whole numbers in the range of integers as integers, all other floats as 64 bits, lengths in their
//! shortest form, and maps sorted by their keys' canonical bytes. So `1`, `1.0` and `1` in five bytes are one key; `1`, `true` and
//! `"1"` are three.

use std::cmp::Ordering;
use std::fmt;

use super::pack;
use super::read::{Head, Malformed, Reader};

/// Why a value cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadKey {
    /// NaN equals nothing, not even itself.
    NotANumber,
    /// A map that has one key twice.
    Duplicate,
    /// A reference to an object.
    Reference,
    /// Longer than [`LONGEST_KEY`].
    TooLong(usize),
    /// No value at all.
    Malformed(Malformed),
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadKey::NotANumber => f.write_str("NaN cannot be (in) a key: it equals nothing, not even itself"),
            BadKey::Duplicate => f.write_str("a map with a key twice cannot be (in) a key"),
            BadKey::Reference => f.write_str("a reference to an object cannot be (in) a key"),
            BadKey::TooLong(len) => {
                write!(f, "a key has at most {LONGEST_KEY} bytes, not {len}: store it as a value")
            }
            BadKey::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl From<Malformed> for BadKey {
    fn from(malformed: Malformed) -> Self {
        BadKey::Malformed(malformed)
    }
}

/// How many bytes a key has at most: to bring maps into order costs many times as much.
const LONGEST_KEY: usize = 64 << 10;

/// The canonical form of one whole value.
pub(crate) fn canonical(value: &[u8]) -> Result<Vec<u8>, BadKey> {
    if value.len() > LONGEST_KEY {
        return Err(BadKey::TooLong(value.len()));
    }
    let mut out = Vec::with_capacity(value.len());
    let mut reader = Reader::new(value);
    write_canonical(&mut reader, &mut out)?;
    reader.end()?;
    Ok(out)
}

/// Recursion is bounded: values are no deeper than `DEEPEST` when they come here.
fn write_canonical(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), BadKey> {
    match reader.head()? {
        Head::Nil => pack::nil(out),
        Head::Bool(value) => pack::boolean(out, value),
        Head::Int(value) => pack::int(out, value),
        Head::Float(value) if value.is_nan() => return Err(BadKey::NotANumber),
        Head::Float(value) => match whole(value) {
            Some(value) => pack::int(out, value),
            None => pack::float(out, value),
        },
        Head::Text(value) => pack::text(out, value),
        Head::Binary(value) => pack::binary(out, value),
        Head::Array(len) => {
            pack::array(out, len as usize);
            for _ in 0..len {
                write_canonical(reader, out)?;
            }
        }
        Head::Map(len) => {
            // The length is only announced: room is made as the pairs come.
            let mut pairs = Vec::new();
            for _ in 0..len {
                let (mut key, mut value) = (Vec::new(), Vec::new());
                write_canonical(reader, &mut key)?;
                write_canonical(reader, &mut value)?;
                pairs.push((key, value));
            }
            pairs.sort();
            if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(BadKey::Duplicate);
            }
            pack::map(out, pairs.len());
            pairs.iter().for_each(|(key, value)| out.extend(key.iter().chain(value)));
        }
        Head::Extension(pack::REFERENCE, _) => return Err(BadKey::Reference),
        Head::Extension(kind, data) => pack::extension(out, kind, data),
    }
    Ok(())
}

/// The integer that a float is, if MessagePack has it.
fn whole(value: f64) -> Option<i128> {
    let range = -9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0;
    (range.contains(&value) && value.trunc() == value).then_some(value as i128)
}

/// A total order of whole values: nil, bools, numbers by their value (NaN last), text, binary, arrays and maps element by
/// element, extensions. `1` and `1.0` are equal in it.
pub(crate) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    // Stored values were checked when they came: if one is malformed all the same, bytes decide.
    compare_at(&mut Reader::new(left), &mut Reader::new(right)).unwrap_or_else(|_| left.cmp(right))
}

/// Whether two whole values are equal: in the order, or but for the order of pairs in maps, as far as these can be keys.
pub(crate) fn equal(left: &[u8], right: &[u8]) -> bool {
    let same = || match (canonical(left), canonical(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    };
    match likeness(&mut Reader::new(left), &mut Reader::new(right)) {
        Ok(Likeness::Equal) => true,
        Ok(Likeness::Different) => false,
        Ok(Likeness::OtherOrder) => same(),
        Err(_) => left == right,
    }
}

/// What one pass over two values shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    Equal,
    Different,
    /// Maps of one length whose keys come in different orders, or are different.
    OtherOrder,
}

fn likeness(left: &mut Reader<'_>, right: &mut Reader<'_>) -> Result<Likeness, Malformed> {
    let (before_left, before_right) = (left.rest(), right.rest());
    let parts = match (left.head()?, right.head()?) {
        (Head::Array(a), Head::Array(b)) if a == b => u64::from(a),
        (Head::Map(a), Head::Map(b)) if a == b => 2 * u64::from(a),
        (Head::Array(_) | Head::Map(_), _) | (_, Head::Array(_) | Head::Map(_)) => {
            return Ok(Likeness::Different);
        }
        _ => {
            let order = compare_at(&mut Reader::new(before_left), &mut Reader::new(before_right))?;
            return Ok(if order.is_eq() { Likeness::Equal } else { Likeness::Different });
        }
    };
    let is_map = matches!(Reader::new(before_left).head()?, Head::Map(_));
    for part in 0..parts {
        match likeness(left, right)? {
            Likeness::Equal => {}
            // No map has a key twice: another value under the same key is another map, another key may come later.
            Likeness::Different if is_map && part % 2 == 0 => return Ok(Likeness::OtherOrder),
            other => return Ok(other),
        }
    }
    Ok(Likeness::Equal)
}

fn compare_at(left: &mut Reader<'_>, right: &mut Reader<'_>) -> Result<Ordering, Malformed> {
    let (a, b) = (left.head()?, right.head()?);
    Ok(match (a, b) {
        (Head::Bool(a), Head::Bool(b)) => a.cmp(&b),
        (Head::Int(a), Head::Int(b)) => a.cmp(&b),
        (Head::Float(a), Head::Float(b)) => compare_floats(a, b),
        (Head::Int(a), Head::Float(b)) => compare_mixed(a, b),
        (Head::Float(a), Head::Int(b)) => compare_mixed(b, a).reverse(),
        (Head::Text(a), Head::Text(b)) => a.cmp(b),
        (Head::Binary(a), Head::Binary(b)) => a.cmp(b),
        (Head::Array(a), Head::Array(b)) => compare_inner(left, right, a.into(), b.into())?,
        (Head::Map(a), Head::Map(b)) => compare_inner(left, right, 2 * u64::from(a), 2 * u64::from(b))?,
        (Head::Extension(a, data_a), Head::Extension(b, data_b)) => (a, data_a).cmp(&(b, data_b)),
        (a, b) => rank(&a).cmp(&rank(&b)),
    })
}

fn compare_inner(
    left: &mut Reader<'_>,
    right: &mut Reader<'_>,
    a: u64,
    b: u64,
) -> Result<Ordering, Malformed> {
    for _ in 0..a.min(b) {
        match compare_at(left, right)? {
            Ordering::Equal => {}
            decided => return Ok(decided),
        }
    }
    Ok(a.cmp(&b))
}

/// `-0.0` equals `0.0`, and every NaN equals every other and comes last.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn compare_mixed(int: i128, float: f64) -> Ordering {
    if float.is_nan() {
        return Ordering::Less;
    }
    // Saturates beyond what any MessagePack integer is, so the comparison stays right; the fraction decides among equals.
    let whole = float.trunc() as i128;
    int.cmp(&whole).then_with(|| compare_floats(0.0, float.fract()))
}

fn rank(head: &Head<'_>) -> u8 {
    match head {
        Head::Nil => 0,
        Head::Bool(_) => 1,
        Head::Int(_) | Head::Float(_) => 2,
        Head::Text(_) => 3,
        Head::Binary(_) => 4,
        Head::Array(_) => 5,
        Head::Map(_) => 6,
        Head::Extension(..) => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn one_has_many_encodings_and_is_one_key() {
        let one: &[&[u8]] = &[
            &[1],
            &[0xcc, 1],
            &[0xcd, 0, 1],
            &[0xce, 0, 0, 0, 1],
            &[0xcf, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0xd0, 1],
            &[0xd3, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0xca, 0x3f, 0x80, 0, 0],
            &[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
        ];
        for encoding in one {
            assert_eq!(canonical(encoding), Ok(vec![1]), "{encoding:02x?}");
            assert_eq!(compare(encoding, &[1]), Ordering::Equal);
        }
        for other in [&[0xc3][..], &[0xa1, b'1'], &[0x91, 1], &[2]] {
            assert_ne!(canonical(other), Ok(vec![1]));
        }
    }

    #[test]
    fn lengths_and_the_order_of_pairs_do_not_make_another_key() {
        let long_text = [0xdb, 0, 0, 0, 1, b'k'];
        assert_eq!(canonical(&long_text), Ok(vec![0xa1, b'k']));
        assert_eq!(canonical(&[0x82, 2, 0xc0, 1, 0xc0]), canonical(&[0xde, 0, 2, 1, 0xc0, 2, 0xc0]));
        assert_eq!(canonical(&packed(|out| pack::float(out, -0.0))), Ok(vec![0]));
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let nan = packed(|out| pack::float(out, f64::NAN));
        assert_eq!(canonical(&nan), Err(BadKey::NotANumber));
        assert_eq!(canonical(&[&[0x91][..], &nan].concat()), Err(BadKey::NotANumber));
        assert_eq!(canonical(&[0x82, 1, 0xc0, 0xcc, 1, 0xc0]), Err(BadKey::Duplicate));
        assert_eq!(canonical(&packed(|out| pack::reference(out, 3))), Err(BadKey::Reference));
        let long = packed(|out| pack::binary(out, &vec![0; LONGEST_KEY]));
        assert_eq!(canonical(&long), Err(BadKey::TooLong(LONGEST_KEY + 5)));
        assert_eq!(canonical(&[1, 1]), Err(BadKey::Malformed(Malformed::Trailing)));
    }

    #[test]
    fn the_order_is_total() {
        let numbers =
            [f64::NEG_INFINITY, -1e30, -2.5, -1.0, 0.0, 0.5, 1.0, 9.007199254740993e15, 1e30, f64::NAN];
        let mut values: Vec<Vec<u8>> = numbers.iter().map(|&n| packed(|out| pack::float(out, n))).collect();
        for int in [i64::MIN.into(), -2, -1, 0, 1, 2, (1 << 53) + 1, u64::MAX.into()] {
            values.push(packed(|out| pack::int(out, int)));
        }
        values.extend([
            vec![0xc0],
            vec![0xc2],
            vec![0xc3],
            vec![0xa1, b'a'],
            vec![0xa1, b'b'],
            vec![0x91, 1],
        ]);
        for a in &values {
            for b in &values {
                assert_eq!(compare(a, b), compare(b, a).reverse(), "{a:02x?} {b:02x?}");
                for c in &values {
                    if compare(a, b).is_le() && compare(b, c).is_le() {
                        assert!(compare(a, c).is_le(), "{a:02x?} {b:02x?} {c:02x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn maps_are_equal_in_whatever_order_their_pairs_are() {
        let map = |pairs: &[(&str, u64)]| {
            packed(|out| {
                pack::map(out, pairs.len());
                for &(key, value) in pairs {
                    pack::text(out, key);
                    pack::uint(out, value);
                }
            })
        };
        let (one, other) = (map(&[("a", 1), ("b", 2)]), map(&[("b", 2), ("a", 1)]));
        assert!(equal(&one, &other) && compare(&one, &other).is_ne());
        // Inside of other values, too.
        let inside = |map: &[u8]| [&[0x92, 5], map].concat();
        assert!(equal(&inside(&one), &inside(&other)));
        for different in [
            map(&[("a", 2), ("b", 1)]),
            map(&[("b", 2), ("c", 1)]),
            map(&[("a", 1)]),
            vec![1],
            vec![0x92, 1, 2],
        ] {
            assert!(!equal(&one, &different) && !equal(&different, &one), "{different:02x?}");
            assert!(!equal(&inside(&other), &inside(&different)));
        }
        assert!(
            equal(&[0x81, 1, 2], &[0x81, 0xcc, 1, 0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0]),
            "1 is 1, and 2 is 2.0"
        );
        let nan = packed(|out| pack::float(out, f64::NAN));
        assert!(equal(&nan, &nan) && !equal(&nan, &[1]));
        // A key twice is no key, and what has it equals only itself.
        let twice = [map(&[("a", 1), ("a", 2)]), map(&[("a", 2), ("a", 1)])];
        assert!(equal(&twice[0], &twice[0]) && !equal(&twice[0], &twice[1]));
    }

    #[test]
    fn equal_keys_are_equal_in_the_order_too() {
        let big = packed(|out| pack::int(out, (1 << 53) + 1));
        let near = packed(|out| pack::float(out, 9_007_199_254_740_992.0));
        assert_ne!(canonical(&big), canonical(&near));
        assert_eq!(compare(&big, &near), Ordering::Greater);
    }
}
