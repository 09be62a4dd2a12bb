//! Every serde type as postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecFault};

/// The [`Codec`] of all serde types (feature `postcard`): compact, without names or types in the bytes.
///
/// Both sides must declare the same fields in the same order. Bytes behind the item are an error, since they say that it
/// was of another type.
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    const NAME: &'static str = "postcard";

    fn encode(item: &T, to: &mut Vec<u8>) -> Result<(), CodecFault> {
        *to = postcard::to_extend(item, std::mem::take(to))?;
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<T, CodecFault> {
        match postcard::take_from_bytes(bytes)? {
            (item, []) => Ok(item),
            (_, rest) => Err(format!("{} bytes follow the item", rest.len()).into()),
        }
    }
}
