//! Names on the command line: of spaces, and of objects in them.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use procshare::Trust;
use procshare::inspect::{Form, FoundSpace, Inspector, spaces};

use crate::args::SpaceArgs;
use crate::output::usage;

/// What anonymous objects' file names begin with.
const ANONYMOUS: &str = ".anon-";
/// How many of the 32 digits behind it are printed.
const DIGITS: usize = 8;

/// A space as somebody called it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Space {
    /// One of the caller's.
    Named(String),
    /// Any directory.
    At(PathBuf),
}

impl Space {
    /// The space `default`.
    pub(crate) fn default_space() -> Self {
        Space::Named("default".into())
    }

    /// Whatever has a slash in it is a path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("a space has a name or a path".into()),
            _ if text.contains('/') => Ok(Space::At(PathBuf::from(text))),
            _ => Ok(Space::Named(text.to_owned())),
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Named(name) => f.write_str(name),
            Space::At(path) => path.display().fmt(f),
        }
    }
}

/// A space and whom to trust in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    space: Space,
    trust: Trust,
}

impl Place {
    pub(crate) fn new(space: Space, trust: Option<Trust>) -> Result<Self> {
        match (&space, trust) {
            (Space::Named(_), Some(trust)) if trust != Trust::Owner => {
                usage!(
                    "--trust is for spaces called by their path: '{space}' is one of yours, which trust only you"
                )
            }
            _ => Ok(Place { space, trust: trust.unwrap_or_default() }),
        }
    }

    /// The space that `args` name, if they do.
    pub(crate) fn of(args: &SpaceArgs) -> Result<Option<Self>> {
        match (&args.space, args.trust) {
            (Some(space), trust) => Self::new(space.clone(), trust).map(Some),
            (None, Some(_)) => {
                usage!("--trust says whom to trust in a space called by its path: add --space /DIR")
            }
            (None, None) => Ok(None),
        }
    }

    /// A look at it from outside.
    pub(crate) fn inspect(&self) -> procshare::Result<Inspector> {
        match &self.space {
            Space::Named(name) => Inspector::named(name),
            Space::At(path) => Inspector::open(path, self.trust),
        }
    }

    /// The space itself, not yet joined.
    pub(crate) fn open(&self) -> procshare::Result<procshare::Space> {
        match &self.space {
            Space::Named(name) => procshare::Space::named(name)?.open(),
            Space::At(path) => procshare::Space::at(path).trust(self.trust).open(),
        }
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> PathBuf {
        match &self.space {
            Space::Named(name) => procshare::Space::root().join(name),
            Space::At(path) => path.clone(),
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.space.fmt(f)
    }
}

/// The space that `place` names, or else all of the caller's.
pub(crate) fn chosen(place: Option<Place>) -> Result<Vec<FoundOrNamed>> {
    match place {
        Some(place) => Ok(vec![FoundOrNamed { name: place.to_string(), look: place.inspect(), place }]),
        None => spaces()?.into_iter().map(FoundOrNamed::found).collect(),
    }
}

/// A space to look at.
pub(crate) struct FoundOrNamed {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) look: procshare::Result<Inspector>,
}

impl FoundOrNamed {
    fn found(found: FoundSpace) -> Result<Self> {
        let place = Place::new(Space::Named(found.name.clone()), None)?;
        Ok(FoundOrNamed { name: found.name, place, look: found.space })
    }
}

/// An object as somebody called it.
#[derive(Debug, PartialEq)]
pub(crate) struct Address {
    pub(crate) place: Place,
    name: String,
}

impl Address {
    /// Reads `NAME`, `SPACE/NAME` or `/DIR/NAME`; plain names are in the space that `args` name, or in `default`.
    pub(crate) fn parse(text: &str, args: &SpaceArgs) -> Result<Self> {
        let (space, name) = match text.rsplit_once('/') {
            None => (args.space.clone().unwrap_or_else(Space::default_space), text),
            Some(_) if args.space.is_some() => {
                usage!("'{text}' says its space itself: leave out --space")
            }
            Some((space, name)) if space.starts_with(['/', '.']) => (Space::At(space.into()), name),
            Some(("", name)) => (Space::At("/".into()), name),
            Some((space, name)) => (Space::Named(space.to_owned()), name),
        };
        Ok(Address { place: Place::new(space, args.trust)?, name: name.to_owned() })
    }

    /// The object's file name: anonymous ones may be called by the beginning of theirs.
    pub(crate) fn find(&self, inspector: &Inspector) -> Result<String> {
        let Some(beginning) = self.name.strip_prefix('@') else { return Ok(self.name.clone()) };
        let found: Vec<_> = inspector
            .list()?
            .into_iter()
            .filter(|entry| entry.form == Form::Anonymous)
            .map(|entry| entry.name)
            .filter(|name| !beginning.is_empty() && name[ANONYMOUS.len()..].starts_with(beginning))
            .collect();
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => bail!("no anonymous object '{}' in space '{}': see procshare ls", self.name, self.place),
            _ => bail!("'{}' is the beginning of {} objects' names: add digits", self.name, found.len()),
        }
    }
}

/// How a listing calls an object.
pub(crate) fn shown(file_name: &str) -> String {
    match file_name.strip_prefix(ANONYMOUS) {
        Some(digits) => format!("@{}", digits.get(..DIGITS).unwrap_or(digits)),
        None => file_name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text, &SpaceArgs::default()).unwrap()
    }

    #[test]
    fn names_say_their_space_or_leave_it_to_the_option() {
        assert_eq!(address("jobs").place.space, Space::default_space());
        assert_eq!(address("work/jobs").place.space, Space::Named("work".into()));
        assert_eq!(address("/srv/shared/jobs").place.space, Space::At("/srv/shared".into()));
        assert_eq!(address("./here/jobs").place.space, Space::At("./here".into()));
        assert_eq!(address("/jobs").place.space, Space::At("/".into()));
        let work = SpaceArgs { space: Some(Space::Named("work".into())), trust: None };
        assert_eq!(Address::parse("jobs", &work).unwrap(), address("work/jobs"));
        assert!(Address::parse("work/jobs", &work).is_err());
    }

    #[test]
    fn trust_needs_a_path() {
        let group = |space| Place::of(&SpaceArgs { space, trust: Some(Trust::Group) });
        assert!(group(None).is_err());
        assert!(group(Some(Space::Named("work".into()))).is_err());
        assert_eq!(group(Some(Space::At("/srv".into()))).unwrap().unwrap().trust, Trust::Group);
    }

    #[test]
    fn anonymous_objects_are_called_by_eight_digits() {
        assert_eq!(shown(".anon-0123456789abcdef0123456789abcdef"), "@01234567");
        assert_eq!(shown("jobs"), "jobs");
    }
}
