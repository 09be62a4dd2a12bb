//! Writing MessagePack: every value in its shortest form.

/// A buffer of MessagePack values.
pub(crate) type Pack = Vec<u8>;

/// The extension type of a reference to an object: 8 bytes, the object's number, most significant byte first.
pub(crate) const REFERENCE: i8 = 1;

pub(crate) fn nil(out: &mut Pack) {
    out.push(0xc0);
}

pub(crate) fn boolean(out: &mut Pack, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// An integer that MessagePack can carry; others are brought to the nearest one, which no caller does.
pub(crate) fn int(out: &mut Pack, value: i128) {
    match value {
        0.. => uint(out, u64::try_from(value).unwrap_or(u64::MAX)),
        -32..=-1 => out.push(value as i8 as u8),
        -128..=-33 => out.extend([0xd0, value as i8 as u8]),
        -0x8000..=-129 => with(out, 0xd1, &(value as i16).to_be_bytes()),
        -0x8000_0000..=-0x8001 => with(out, 0xd2, &(value as i32).to_be_bytes()),
        _ => with(out, 0xd3, &i64::try_from(value).unwrap_or(i64::MIN).to_be_bytes()),
    }
}

#[inline]
pub(crate) fn uint(out: &mut Pack, value: u64) {
    let (bytes, len) = uint_in(value);
    match len {
        1 => out.push(bytes[0]),
        len => out.extend_from_slice(&bytes[..len]),
    }
}

/// A number's bytes, and how many they are.
#[inline]
pub(crate) fn uint_in(value: u64) -> ([u8; 9], usize) {
    let mut bytes = [0; 9];
    let len = match value {
        0..=0x7f => {
            bytes[0] = value as u8;
            return (bytes, 1);
        }
        0x80..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    // The marker of a width is 0xcc and the width's logarithm. The digits are moved to the front of eight.
    bytes[0] = 0xcc + (len as u32).trailing_zeros() as u8;
    bytes[1..].copy_from_slice(&(value << (64 - 8 * len)).to_be_bytes());
    (bytes, 1 + len)
}

pub(crate) fn float(out: &mut Pack, value: f64) {
    with(out, 0xcb, &value.to_bits().to_be_bytes());
}

#[inline]
pub(crate) fn text(out: &mut Pack, value: &str) {
    match value.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len => length(out, len, Some(0xd9), 0xda, 0xdb),
    }
    out.extend_from_slice(value.as_bytes());
}

pub(crate) fn binary(out: &mut Pack, value: &[u8]) {
    length(out, value.len(), Some(0xc4), 0xc5, 0xc6);
    out.extend_from_slice(value);
}

#[inline]
pub(crate) fn array(out: &mut Pack, len: usize) {
    match len {
        0..=15 => out.push(0x90 | len as u8),
        _ => length(out, len, None, 0xdc, 0xdd),
    }
}

pub(crate) fn map(out: &mut Pack, len: usize) {
    match len {
        0..=15 => out.push(0x80 | len as u8),
        _ => length(out, len, None, 0xde, 0xdf),
    }
}

pub(crate) fn extension(out: &mut Pack, kind: i8, data: &[u8]) {
    match data.len() {
        1 => out.push(0xd4),
        2 => out.push(0xd5),
        4 => out.push(0xd6),
        8 => out.push(0xd7),
        16 => out.push(0xd8),
        len => length(out, len, Some(0xc7), 0xc8, 0xc9),
    }
    out.push(kind as u8);
    out.extend_from_slice(data);
}

pub(crate) fn reference(out: &mut Pack, object: u64) {
    extension(out, REFERENCE, &object.to_be_bytes());
}

/// A marker with a length of 1, 2 or 4 bytes. Lengths beyond 32 bits cannot come up: frames are shorter.
fn length(out: &mut Pack, len: usize, short: Option<u8>, medium: u8, long: u8) {
    match (len, short) {
        (0..=0xff, Some(marker)) => out.extend([marker, len as u8]),
        (0..=0xffff, _) => with(out, medium, &(len as u16).to_be_bytes()),
        _ => with(out, long, &(len as u32).to_be_bytes()),
    }
}

fn with(out: &mut Pack, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}
