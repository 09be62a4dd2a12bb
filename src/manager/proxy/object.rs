//! Any object, and how references travel inside values.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::manager::client::Reference;
use crate::manager::client::call::{Draft, Target, reading, writing_for};
use crate::manager::client::manager::Manager;
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::wire::pack::REFERENCE;

/// The name by which the MessagePack format knows extensions.
const EXTENSION: &str = "_ExtStruct";

/// Any object of a manager: of a registered type, or one whose kind is not known yet.
///
/// Clones are the same object; it lives as long as a name, a proxy or a stored value refers to it. Stored in another object
/// of the same manager it is a reference, not a copy.
#[derive(Clone)]
pub struct Object {
    reference: Arc<Reference>,
    kind: Arc<str>,
}

/// A reference on its way to another process: plain data, which can go through queues, files and arguments.
///
/// It keeps the object until it is claimed or expires. It can be claimed once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyHandle {
    /// Where the manager is.
    pub address: String,
    server: u64,
    ticket: u64,
}

impl Object {
    pub(crate) fn new(reference: Arc<Reference>, kind: Arc<str>) -> Self {
        Object { reference, kind }
    }

    /// Its kind, such as `dict`, or the name of a registered type; empty if it came inside a value, which does not say.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its number, which is never used again as long as the server runs.
    pub fn number(&self) -> u64 {
        self.reference.object
    }

    /// Calls a method by its name.
    ///
    /// # Errors
    ///
    /// Those of the method; [`ManagerError::Remote`] with the kind `bad-call` if there is no such method.
    pub fn call<R: DeserializeOwned>(
        &self,
        method: &'static str,
        arguments: &[&dyn Argument],
    ) -> ManagerResult<R> {
        let draft = arguments.iter().fold(self.target().call(method), |draft, argument| argument.add(draft));
        draft.run()
    }

    /// A handle for another process, good for `lasts`.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn handle(&self, lasts: Duration) -> ManagerResult<ProxyHandle> {
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let link = &self.reference.link;
        let draft = Target::Manager(link).call("ticket").arg(&self.number()).arg(&lasts);
        let ticket = draft.run()?;
        Ok(ProxyHandle { address: link.address.to_string(), server: link.server, ticket })
    }

    /// Whether the connection is gone, and with it all that is held through it. Asks the server.
    pub(super) fn is_cut_off(&self) -> bool {
        let link = &self.reference.link;
        link.is_lost() || Target::Manager(link).call("ping").done().is_err()
    }

    #[inline]
    pub(crate) fn target(&self) -> Target<'_> {
        Target::Object(&self.reference)
    }

    pub(crate) fn reference(&self) -> &Arc<Reference> {
        &self.reference
    }
}

impl ProxyHandle {
    /// The object that the handle was made of.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Gone`] if it was claimed before, has expired, or is of another run of the server.
    pub fn attach(&self, manager: &Manager) -> ManagerResult<Object> {
        if self.server != manager.link().server {
            let message = format!("the handle is of another server than the one at {}", manager.address());
            return Err(ManagerError::Gone { message });
        }
        manager.object(manager.call("claim").arg(&self.ticket))
    }
}

/// What can be given to [`Object::call`]: everything that serialises.
pub trait Argument {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only the crate calls it")]
    fn add<'a>(&self, draft: Draft<'a>) -> Draft<'a>;
}

impl<T: Serialize> Argument for T {
    #[allow(private_interfaces, reason = "only the crate calls it")]
    fn add<'a>(&self, draft: Draft<'a>) -> Draft<'a> {
        draft.arg(self)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        (self.reference.link.server, self.number()) == (other.reference.link.server, other.number())
    }
}

impl Eq for Object {}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("kind", &self.kind()).field("number", &self.number()).finish()
    }
}

/// Inside a value for the same manager; elsewhere use [`Object::handle`].
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match writing_for() {
            None => Err(S::Error::custom("a proxy outside of a manager's values: send its handle()")),
            Some(server) if server != self.reference.link.server => {
                Err(S::Error::custom("a proxy of another manager cannot be stored here"))
            }
            Some(_) => {
                let number = self.number().to_be_bytes();
                serializer.serialize_newtype_struct(EXTENSION, &(REFERENCE, Bytes(&number)))
            }
        }
    }
}

pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// From a value that came from a manager.
impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, data) = deserializer.deserialize_newtype_struct(EXTENSION, ExtensionVisitor)?;
        if kind != REFERENCE {
            return Err(D::Error::custom("an extension that is no reference to an object"));
        }
        object_of(&data).map_err(D::Error::custom)
    }
}

/// The object that the data of an extension refers to, in a value that is being read.
pub(crate) fn object_of(data: &[u8]) -> Result<Object, &'static str> {
    let number =
        data.try_into().map(u64::from_be_bytes).map_err(|_| "a reference that is not 8 bytes long")?;
    let reference = reading(number).ok_or("a reference outside of a value that came from a manager")?;
    Ok(Object::new(reference, "".into()))
}

/// Reads an extension as its type and data.
pub(crate) struct ExtensionVisitor;

impl<'de> Visitor<'de> for ExtensionVisitor {
    type Value = (i8, Vec<u8>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an extension")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_tuple(2, self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let kind = parts.next_element()?.ok_or_else(|| A::Error::custom("an extension without a type"))?;
        let data: Data =
            parts.next_element()?.ok_or_else(|| A::Error::custom("an extension without data"))?;
        Ok((kind, data.0))
    }
}

struct Data(Vec<u8>);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DataVisitor;
        impl Visitor<'_> for DataVisitor {
            type Value = Data;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, data: &[u8]) -> Result<Data, E> {
                Ok(Data(data.to_vec()))
            }
        }
        deserializer.deserialize_bytes(DataVisitor)
    }
}
