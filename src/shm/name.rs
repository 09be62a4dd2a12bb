//! Names of objects: validated once, never a raw string afterwards.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The longest object or space name, in bytes.
const MAX_NAME: usize = 200;

/// The space of names without one.
pub(crate) const DEFAULT_SPACE: &str = "default";

/// A validated object or space name: one path component that cannot leave its directory or hide in it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Name(String);

impl Name {
    /// Checks `name`; `whole` is what the caller gave, for the message.
    fn check(name: &str, whole: &str) -> Result<Self> {
        let reason = if name.is_empty() {
            "it is empty"
        } else if name.len() > MAX_NAME {
            "it is longer than 200 characters"
        } else if name.starts_with('.') {
            "it begins with a dot"
        } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        {
            "it contains a character that is not allowed"
        } else {
            return Ok(Name(name.to_owned()));
        };
        Err(Error::BadName { name: shorten(whole), reason })
    }

    /// A plain name, without a space.
    pub(crate) fn new(name: &str) -> Result<Self> {
        Self::check(name, name)
    }

    /// The registry of a space.
    pub(crate) fn registry() -> Self {
        Name(".registry".to_owned())
    }

    /// A name nobody else chooses, hidden from listings of names.
    pub(crate) fn anonymous(random: u128) -> Self {
        Name(format!(".anon-{random:032x}"))
    }

    /// A name read back from a directory or a handle: a valid name, or an anonymous one.
    pub(crate) fn existing(name: &str) -> Result<Self> {
        let random = name.strip_prefix(".anon-");
        if random.is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Ok(Name(name.to_owned()))
        } else {
            Self::new(name)
        }
    }

    /// Whether nobody chose it.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.0.starts_with(".anon-")
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an object's name leads: a space by name, a space by directory, or the space the caller has at hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A plain name.
    Unsaid,
    /// `space/name`.
    Named(Name),
    /// `/some/directory/name`.
    Directory(PathBuf),
}

/// Splits `name`, `space/name` or `/directory/name`.
pub(crate) fn parse(text: &str) -> Result<(Place, Name)> {
    match text.rsplit_once('/') {
        None => Ok((Place::Unsaid, Name::check(text, text)?)),
        Some((directory, name)) if directory.starts_with('/') => {
            Ok((Place::Directory(Path::new(directory).to_owned()), Name::check(name, text)?))
        }
        Some((space, name)) => Ok((Place::Named(Name::check(space, text)?), Name::check(name, text)?)),
    }
}

/// A hostile name shall not fill the screen.
fn shorten(name: &str) -> String {
    let mut short: String = name.chars().take(60).flat_map(char::escape_debug).collect();
    if name.chars().count() > 60 {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_message_promises() {
        for name in ["a", "A-Z_0.9", &"x".repeat(200)] {
            assert_eq!(Name::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = "x".repeat(201);
        for name in ["", ".hidden", "..", "a b", "a\0b", "\u{e9}", "a\nb", "a%b", &long] {
            assert!(matches!(Name::new(name), Err(Error::BadName { .. })), "{name:?}");
        }
        for name in ["/", "a/", "/a", "a/b/c", "../x", "a/../b", "a//b"] {
            assert!(matches!(parse(name), Err(Error::BadName { .. })), "{name:?}");
        }
    }

    #[test]
    fn splits_space_directory_and_name() {
        assert_eq!(parse("jobs").unwrap(), (Place::Unsaid, Name("jobs".into())));
        assert_eq!(parse("s/jobs").unwrap(), (Place::Named(Name("s".into())), Name("jobs".into())));
        assert_eq!(
            parse("/var/lib/app/jobs").unwrap(),
            (Place::Directory("/var/lib/app".into()), Name("jobs".into()))
        );
    }
}
