//! The fingerprint of a type's layout, computed while the program is compiled.
//!
//! Two programs that share a segment may be built by different compilers from different sources, so a fingerprint may
//! depend only on what both authors wrote and on where the bytes lie: never on `type_name`, module paths, `TypeId` or
//! the derive's own version. The bytes that are hashed are therefore part of the segment format:
//!
//! | what | bytes, in order |
//! |---|---|
//! | primitive | `P`, text(name), size, alignment |
//! | array | `A`, element's signature, number of elements |
//! | struct or enum | `T`, text(name), size, alignment, number of parts, sum of the parts' hashes |
//! | part: field | `F`, text(name), offset, field type's signature |
//! | part: variant | `V`, text(name), discriminant (16 bytes) |
//!
//! Numbers are 8 bytes unless said otherwise, little-endian on every machine; text is its length as a number, then its
//! UTF-8 bytes. The hash is 64-bit FNV-1a, finished with the mixer of MurmurHash3 so that the sum of parts is not a sum
//! of nearly linear values. Parts are summed (wrapping): where a field lies counts, the order in which the source lists
//! variants or fields does not.

use core::fmt;

/// Fingerprint of a [`Plain`](trait@crate::Plain) type: its name, size, alignment and parts, as 64 bits.
///
/// A segment's header carries the signature of the type its creator put there; an opener whose type has another one is
/// refused before any byte is read as a value. Equal signatures mean the same author-chosen names and the same places
/// of every byte (up to a hash collision, 1 in 2⁶⁴, which costs a wrong value and never an invalid one: reads are
/// [checked](crate::shm::checked) by the reader's own type).
///
/// The value is the same for every compiler, program and module path. It may differ between targets that align a
/// primitive differently (`u64` on 32-bit x86): there the two programs do not agree on the layout.
///
/// ```
/// use procshare::Plain;
///
/// assert_eq!(u32::SIGNATURE.to_string(), format!("{:016x}", u32::SIGNATURE.to_bits()));
/// assert_ne!(u32::SIGNATURE, i32::SIGNATURE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Signature(u64);

impl Signature {
    /// The signature of a type without parts: `size` and `align` in bytes.
    pub const fn of_primitive(name: &str, size: usize, align: usize) -> Self {
        Signature(Hash::tagged(b'P').text(name).number(size as u64).number(align as u64).finish())
    }

    /// The signature of `len` consecutive values whose type has the signature `element`.
    pub const fn of_array(element: Signature, len: usize) -> Self {
        Signature(Hash::tagged(b'A').number(element.0).number(len as u64).finish())
    }

    /// Starts the signature of a struct or an enum of `size` and `align` bytes, whose parts are still to be added.
    ///
    /// [`derive(Plain)`](derive@crate::Plain) writes this for you; use it where the derive refuses, such as for one
    /// instance of a generic type.
    ///
    /// ```
    /// use procshare::Plain;
    /// use procshare::shm::plain::Signature;
    ///
    /// let by_hand = Signature::of_type("Pair", 8, 4)
    ///     .field("left", 0, u32::SIGNATURE)
    ///     .field("right", 4, f32::SIGNATURE)
    ///     .finish();
    ///
    /// #[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern, Plain)]
    /// #[repr(C)]
    /// struct Pair {
    ///     left: u32,
    ///     right: f32,
    /// }
    /// assert_eq!(Pair::SIGNATURE, by_hand);
    /// ```
    pub const fn of_type(name: &str, size: usize, align: usize) -> SignatureBuilder {
        SignatureBuilder {
            head: Hash::tagged(b'T').text(name).number(size as u64).number(align as u64),
            parts: 0,
            sum: 0,
        }
    }

    /// The signature as the number that headers store.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The signature that a header stored as `bits`; any number is one.
    pub const fn from_bits(bits: u64) -> Self {
        Signature(bits)
    }
}

/// Writes 16 lowercase hexadecimal digits.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

/// A [`Signature`] in the making, from [`Signature::of_type`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder is no signature until `finish` is called"]
pub struct SignatureBuilder {
    head: Hash,
    parts: u64,
    sum: u64,
}

impl SignatureBuilder {
    /// Adds the field `name`, which lies `offset` bytes into the type and whose own type has the signature `of`.
    pub const fn field(self, name: &str, offset: usize, of: Signature) -> Self {
        self.part(Hash::tagged(b'F').text(name).number(offset as u64).number(of.0))
    }

    /// Adds the variant `name` of a fieldless enum, which is stored as `discriminant`.
    pub const fn variant(self, name: &str, discriminant: i128) -> Self {
        self.part(Hash::tagged(b'V').text(name).bytes(&discriminant.to_le_bytes()))
    }

    /// The signature of all that was added.
    pub const fn finish(self) -> Signature {
        Signature(self.head.number(self.parts).number(self.sum).finish())
    }

    const fn part(self, part: Hash) -> Self {
        SignatureBuilder { head: self.head, parts: self.parts + 1, sum: self.sum.wrapping_add(part.finish()) }
    }
}

/// 64-bit FNV-1a over bytes, whose first byte says what is being hashed.
#[derive(Clone, Copy, Debug)]
struct Hash(u64);

impl Hash {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    const fn tagged(tag: u8) -> Self {
        Hash(Self::BASIS).bytes(&[tag])
    }

    const fn bytes(mut self, bytes: &[u8]) -> Self {
        let mut i = 0;
        while i < bytes.len() {
            self.0 = (self.0 ^ bytes[i] as u64).wrapping_mul(Self::PRIME);
            i += 1;
        }
        self
    }

    const fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    const fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).bytes(text.as_bytes())
    }

    const fn finish(self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published test vectors of 64-bit FNV-1a.
    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(Hash(Hash::BASIS).bytes(b"").0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(Hash(Hash::BASIS).bytes(b"a").0, 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Hash(Hash::BASIS).bytes(b"foobar").0, 0x8594_4171_f739_67e8);
    }

    #[test]
    fn names_and_numbers_cannot_run_into_each_other() {
        let joined = Signature::of_type("ab", 8, 8).field("c", 0, Signature(1)).finish();
        let shifted = Signature::of_type("a", 8, 8).field("bc", 0, Signature(1)).finish();
        assert_ne!(joined, shifted);
    }

    #[test]
    fn every_ingredient_of_a_struct_counts() {
        let base = Signature::of_type("T", 8, 4).field("x", 0, Signature(1)).field("y", 4, Signature(2));
        let others = [
            Signature::of_type("U", 8, 4).field("x", 0, Signature(1)).field("y", 4, Signature(2)),
            Signature::of_type("T", 12, 4).field("x", 0, Signature(1)).field("y", 4, Signature(2)),
            Signature::of_type("T", 8, 8).field("x", 0, Signature(1)).field("y", 4, Signature(2)),
            Signature::of_type("T", 8, 4).field("z", 0, Signature(1)).field("y", 4, Signature(2)),
            Signature::of_type("T", 8, 4).field("x", 4, Signature(1)).field("y", 0, Signature(2)),
            Signature::of_type("T", 8, 4).field("x", 0, Signature(2)).field("y", 4, Signature(1)),
            Signature::of_type("T", 8, 4).field("y", 0, Signature(1)).field("x", 4, Signature(2)),
            Signature::of_type("T", 8, 4).field("x", 0, Signature(1)),
            Signature::of_type("T", 8, 4),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(base.finish(), other.finish(), "case {i}");
        }
    }

    #[test]
    fn the_order_of_listing_does_not_count() {
        let forth = Signature::of_type("E", 1, 1).variant("On", 1).variant("Off", 0).finish();
        let back = Signature::of_type("E", 1, 1).variant("Off", 0).variant("On", 1).finish();
        assert_eq!(forth, back);
    }

    #[test]
    fn every_ingredient_of_an_enum_counts() {
        let base = Signature::of_type("E", 1, 1).variant("Off", 0).variant("On", 1).finish();
        let renamed = Signature::of_type("E", 1, 1).variant("Off", 0).variant("Lit", 1).finish();
        let renumbered = Signature::of_type("E", 1, 1).variant("Off", 0).variant("On", 2).finish();
        let swapped = Signature::of_type("E", 1, 1).variant("Off", 1).variant("On", 0).finish();
        let negative = Signature::of_type("E", 1, 1).variant("Off", 0).variant("On", -1).finish();
        let unsigned = Signature::of_type("E", 1, 1).variant("Off", 0).variant("On", 255).finish();
        let all = [base, renamed, renumbered, swapped, negative, unsigned];
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn kinds_are_kept_apart() {
        let primitive = Signature::of_primitive("x", 4, 4);
        let structure = Signature::of_type("x", 4, 4).finish();
        assert_ne!(primitive, structure);
        assert_ne!(Signature::of_array(primitive, 1), primitive);
        assert_ne!(Signature::of_array(primitive, 1), Signature::of_array(primitive, 2));
    }

    #[test]
    fn bits_make_the_round_trip() {
        let signature = Signature::of_primitive("x", 4, 4);
        assert_eq!(Signature::from_bits(signature.to_bits()), signature);
        assert_eq!(Signature::from_bits(0xab).to_string(), "00000000000000ab");
        assert_eq!(format!("{:?}", Signature::from_bits(0xab)), "Signature(00000000000000ab)");
    }
}
