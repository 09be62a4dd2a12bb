//! The first 256 bytes of every segment, and the checks that come before anything in them is believed.

use std::fmt;

use crate::error::{Error, Result};
use crate::shm::kind::Kind;
use crate::shm::plain::{Plain, Signature};
use crate::sys;

/// Bytes of the header; the body begins behind it.
pub(crate) const HEADER_LEN: usize = 256;

// What lies in the file itself, wherever the memory is, must be the whole header.
const _: () = assert!(sys::FRONT == HEADER_LEN);

/// The first eight bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"procshr\n";

/// Version of everything that `docs/layout.md` describes.
pub(crate) const LAYOUT_VERSION: u32 = 1;

/// How long an object lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Lifetime {
    /// Until it is unlinked; the default of named objects.
    Named,
    /// Until the last live participant detaches; the default of anonymous objects.
    Scoped,
}

impl Lifetime {
    fn code(self) -> u32 {
        match self {
            Lifetime::Named => 1,
            Lifetime::Scoped => 2,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Lifetime::Named),
            2 => Some(Lifetime::Scoped),
            _ => None,
        }
    }
}

/// A segment's identity, never used twice: a successor of the same name has another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Birth(pub(crate) u128);

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The registry whose ids a segment's words hold, by its birth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Home(pub(crate) u64);

impl Birth {
    /// The registry of this birth, as segments name it.
    pub(crate) fn home(self) -> Home {
        Home(self.0 as u64)
    }
}

/// The type in a body, as both sides must agree on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TypeInfo {
    pub(crate) name: &'static str,
    pub(crate) signature: Signature,
    pub(crate) size: u64,
    pub(crate) align: u64,
}

impl TypeInfo {
    /// Of a plain type.
    pub(crate) fn of<T: Plain>() -> Self {
        TypeInfo {
            name: T::NAME,
            signature: T::SIGNATURE,
            size: size_of::<T>() as u64,
            align: align_of::<T>() as u64,
        }
    }

    /// Of kinds that hold no user type.
    pub(crate) const NONE: TypeInfo =
        TypeInfo { name: "", signature: Signature::from_bits(0), size: 0, align: 1 };
}

/// What a creator writes.
pub(crate) struct NewHeader {
    pub(crate) kind: Kind,
    pub(crate) lifetime: Lifetime,
    pub(crate) birth: Birth,
    pub(crate) type_info: TypeInfo,
    pub(crate) creator: u32,
    pub(crate) home: Home,
}

/// A header that passed every check; nothing of it is read from the segment again.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) lifetime: Lifetime,
    pub(crate) birth: Birth,
    pub(crate) body: u64,
    pub(crate) signature: u64,
    pub(crate) type_size: u64,
    pub(crate) type_align: u64,
    pub(crate) type_name: String,
    pub(crate) creator: u32,
    pub(crate) creator_pid: u32,
    pub(crate) created_ns: u64,
}

/// Where each field is; `docs/layout.md` says the same and a test compares them.
pub(crate) mod offset {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 8;
    pub(crate) const BACKEND: usize = 12;
    pub(crate) const KIND: usize = 16;
    pub(crate) const LIFETIME: usize = 20;
    pub(crate) const TOTAL: usize = 24;
    pub(crate) const BODY: usize = 32;
    pub(crate) const SIGNATURE: usize = 40;
    pub(crate) const TYPE_SIZE: usize = 48;
    pub(crate) const TYPE_ALIGN: usize = 56;
    pub(crate) const BIRTH: usize = 64;
    pub(crate) const CREATED_NS: usize = 80;
    pub(crate) const CREATOR: usize = 88;
    pub(crate) const CREATOR_PID: usize = 92;
    pub(crate) const TYPE_NAME: usize = 96;
    pub(crate) const TYPE_NAME_LEN: usize = 96;
    /// The only field that may change once the header is published.
    pub(crate) const HOME: usize = 192;
}

impl NewHeader {
    /// The header's bytes, for a body of so many bytes.
    pub(crate) fn encode(&self, body: u64) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(offset::MAGIC, &MAGIC);
        put(offset::VERSION, &LAYOUT_VERSION.to_ne_bytes());
        put(offset::BACKEND, &sys::BACKEND.to_ne_bytes());
        put(offset::KIND, &self.kind.code().to_ne_bytes());
        put(offset::LIFETIME, &self.lifetime.code().to_ne_bytes());
        put(offset::TOTAL, &(body + HEADER_LEN as u64).to_ne_bytes());
        put(offset::BODY, &body.to_ne_bytes());
        put(offset::SIGNATURE, &self.type_info.signature.to_bits().to_ne_bytes());
        put(offset::TYPE_SIZE, &self.type_info.size.to_ne_bytes());
        put(offset::TYPE_ALIGN, &self.type_info.align.to_ne_bytes());
        put(offset::BIRTH, &self.birth.0.to_ne_bytes());
        put(offset::CREATED_NS, &sys::wall_ns().to_ne_bytes());
        put(offset::CREATOR, &self.creator.to_ne_bytes());
        put(offset::CREATOR_PID, &std::process::id().to_ne_bytes());
        let name = self.type_info.name.as_bytes();
        put(offset::TYPE_NAME, &name[..name.len().min(offset::TYPE_NAME_LEN)]);
        put(offset::HOME, &self.home.0.to_ne_bytes());
        bytes
    }
}

impl Header {
    /// Checks a header copied out of `object`, a file of `file_len` bytes.
    pub(crate) fn check(
        bytes: &[u8; HEADER_LEN],
        file_len: u64,
        object: &dyn Fn() -> String,
    ) -> Result<Self> {
        let not = |what, expected: String, found: String| Error::NotASegment {
            object: object(),
            what,
            expected,
            found,
        };
        if bytes[..8] != MAGIC {
            return Err(not("magic", format!("{:?}", MAGIC.escape_ascii().to_string()), shown(&bytes[..8])));
        }
        let version = u32_at(bytes, offset::VERSION);
        if version != LAYOUT_VERSION {
            return Err(Error::WrongVersion { object: object(), expected: LAYOUT_VERSION, found: version });
        }
        let backend = u32_at(bytes, offset::BACKEND);
        if backend != sys::BACKEND {
            return Err(wrong_backend(object, backend));
        }
        let kind_code = u32_at(bytes, offset::KIND);
        let kind = Kind::from_code(kind_code)
            .ok_or_else(|| not("kind", "a known kind".into(), format!("number {kind_code}")))?;
        let lifetime_code = u32_at(bytes, offset::LIFETIME);
        let lifetime = Lifetime::from_code(lifetime_code)
            .ok_or_else(|| not("lifetime", "1 or 2".into(), lifetime_code.to_string()))?;
        let (total, body) = (u64_at(bytes, offset::TOTAL), u64_at(bytes, offset::BODY));
        // Every offset computed from a header stays below `total`, so `total` must stay within the file.
        if total != file_len {
            return Err(not(
                "length",
                format!("{total} bytes, as its header says"),
                format!("{file_len} bytes"),
            ));
        }
        if body.checked_add(HEADER_LEN as u64).is_none_or(|end| end > total) {
            return Err(not(
                "body length",
                format!("at most {}", total - HEADER_LEN as u64),
                body.to_string(),
            ));
        }
        let type_name = &bytes[offset::TYPE_NAME..][..offset::TYPE_NAME_LEN];
        let type_name = type_name.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(Header {
            kind,
            lifetime,
            birth: Birth(u128_at(bytes, offset::BIRTH)),
            body,
            signature: u64_at(bytes, offset::SIGNATURE),
            type_size: u64_at(bytes, offset::TYPE_SIZE),
            type_align: u64_at(bytes, offset::TYPE_ALIGN),
            type_name: type_name.escape_ascii().to_string(),
            creator: u32_at(bytes, offset::CREATOR),
            creator_pid: u32_at(bytes, offset::CREATOR_PID),
            created_ns: u64_at(bytes, offset::CREATED_NS),
        })
    }

    /// Checks that the segment is of the kind and type that an opener asks for.
    pub(crate) fn expect(&self, kind: Kind, type_info: &TypeInfo, object: &dyn Fn() -> String) -> Result<()> {
        if self.kind != kind {
            return Err(Error::WrongKind { object: object(), expected: kind, found: self.kind });
        }
        let same = self.signature == type_info.signature.to_bits()
            && self.type_size == type_info.size
            && self.type_align == type_info.align;
        if same {
            return Ok(());
        }
        let describe = |name: &str, size, align, signature| {
            format!("type {name} ({size} bytes, alignment {align}, fingerprint {signature:016x})")
        };
        Err(Error::WrongType {
            object: object(),
            expected: describe(
                type_info.name,
                type_info.size,
                type_info.align,
                type_info.signature.to_bits(),
            ),
            found: describe(&self.type_name, self.type_size, self.type_align, self.signature),
        })
    }
}

/// The refusal of a segment or registry of another backend.
pub(crate) fn wrong_backend(object: &dyn Fn() -> String, found: u32) -> Error {
    Error::WrongBackend {
        object: object(),
        expected: sys::backend(),
        found: sys::backend_name(found).map_or_else(|| format!("number {found}"), str::to_owned),
    }
}

fn shown(bytes: &[u8]) -> String {
    if bytes.iter().all(|&byte| byte == 0) {
        "zeros".into()
    } else {
        format!("{:?}", bytes.escape_ascii().to_string())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(field)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(field)
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    let mut field = [0; 16];
    field.copy_from_slice(&bytes[at..at + 16]);
    u128::from_ne_bytes(field)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn layout_is_documented() {
        let fields = [
            ("magic", offset::MAGIC, 8),
            ("version", offset::VERSION, 4),
            ("backend", offset::BACKEND, 4),
            ("kind", offset::KIND, 4),
            ("lifetime", offset::LIFETIME, 4),
            ("total", offset::TOTAL, 8),
            ("body", offset::BODY, 8),
            ("signature", offset::SIGNATURE, 8),
            ("type_size", offset::TYPE_SIZE, 8),
            ("type_align", offset::TYPE_ALIGN, 8),
            ("birth", offset::BIRTH, 16),
            ("created_ns", offset::CREATED_NS, 8),
            ("creator", offset::CREATOR, 4),
            ("creator_pid", offset::CREATOR_PID, 4),
            ("type_name", offset::TYPE_NAME, offset::TYPE_NAME_LEN),
            ("home", offset::HOME, 8),
        ];
        crate::layout::check("Segment header", HEADER_LEN, &fields);
    }

    #[test]
    fn every_kind_is_documented() {
        let page = include_str!("../../docs/layout.md").replace('\n', " ");
        for kind in Kind::ALL {
            let entry = format!("{} {}", kind.code(), kind.name());
            assert!(page.contains(&entry), "docs/layout.md does not list kind {entry}");
            assert_eq!(Kind::from_code(kind.code()), Some(*kind));
        }
    }
}
