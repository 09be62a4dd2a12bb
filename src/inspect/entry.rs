//! Entries of a listing: one for each file in a space's directory.

use serde::{Serialize, Serializer};

use super::who::Who;
use crate::error::Error;
use crate::shm::header::Header;
use crate::shm::{Kind, Lifetime};

/// How a file comes to be in a space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Form {
    /// It has a name that somebody chose.
    Named,
    /// An anonymous object: its name was drawn by lot.
    Anonymous,
    /// It is being made at this moment, or its creator died; then [`Space::collect`](crate::Space::collect) removes it.
    Unpublished,
    /// No object can have that name: something else put the file there.
    Foreign,
}

/// One file in a space.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// The file's name; characters that no object's name has are escaped.
    pub name: String,
    /// How it comes to be there.
    pub form: Form,
    /// Bytes of the file.
    pub file_size: u64,
    /// What it is, or why it is no usable object.
    #[serde(flatten, serialize_with = "content_or_error")]
    pub content: Result<Content, Error>,
    /// Who is attached. All of them live: the kernel ends an attachment with its process.
    pub attached: Vec<Who>,
    /// Whether somebody is attached for reading only, without being a participant.
    pub readers: bool,
}

/// What an object's header says.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Content {
    /// The object's kind.
    #[serde(serialize_with = "kind_name")]
    pub kind: Kind,
    /// How long it lives.
    #[serde(serialize_with = "lifetime_name")]
    pub lifetime: Lifetime,
    /// The name that the author of the type in it chose; empty for kinds that hold no type.
    pub type_name: String,
    /// Bytes of one value of that type.
    pub type_size: u64,
    /// The type's fingerprint, in hexadecimal; openers must have the same.
    pub fingerprint: String,
    /// Bytes of the object without its header.
    pub body_size: u64,
    /// When it was made, in nanoseconds since 1970.
    pub created_ns: u64,
    /// The process id of its maker, as that one's pid namespace counts.
    pub creator_pid: u32,
    /// Its maker.
    pub creator: Option<Who>,
    /// The object's identity, in hexadecimal: a successor of the same name has another.
    pub birth: String,
}

impl Content {
    pub(super) fn of(header: &Header, creator: Option<Who>) -> Self {
        Content {
            kind: header.kind,
            lifetime: header.lifetime,
            type_name: header.type_name.clone(),
            type_size: header.type_size,
            fingerprint: format!("{:016x}", header.signature),
            body_size: header.body,
            created_ns: header.created_ns,
            creator_pid: header.creator_pid,
            creator,
            birth: header.birth.to_string(),
        }
    }
}

fn kind_name<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

fn lifetime_name<S: Serializer>(lifetime: &Lifetime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match lifetime {
        Lifetime::Named => "named",
        Lifetime::Scoped => "scoped",
    })
}

/// The content's fields, or one field `error`.
fn content_or_error<S: Serializer>(
    content: &Result<Content, Error>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match content {
        Ok(content) => content.serialize(serializer),
        Err(error) => serializer.collect_map([("error", error.to_string())]),
    }
}
