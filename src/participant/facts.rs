//! What an object tells about its state: names and values, understood without knowing the object.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::id::ParticipantId;

/// What is known about an object's state, in the order in which it is shown.
pub type Facts<P> = Vec<(&'static str, Fact<P>)>;

/// One thing known about an object's state, at the moment somebody looked.
///
/// `P` names a participant: its id where an object describes itself, a [`Who`](crate::inspect::Who) for whoever
/// [inspects](crate::inspect).
///
/// ```
/// use procshare::inspect::Fact;
///
/// let fact: Fact<u32> = Fact::List(vec![Fact::Number(7), Fact::Nothing]);
/// assert_eq!(serde_json::to_string(&fact).unwrap(), "[7,null]");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fact<P> {
    /// There is none, for instance no holder.
    Nothing,
    /// Something is so, or is not.
    Flag(bool),
    /// A count or size.
    Number(u64),
    /// A number that may be negative.
    Signed(i64),
    /// A number with a fraction.
    Real(f64),
    /// Words.
    Text(String),
    /// A participant.
    Who(P),
    /// Several of them.
    List(Vec<Fact<P>>),
    /// A part with facts of its own.
    Part(Facts<P>),
}

/// How objects describe themselves: participants by their id.
pub(crate) type RawFacts = Facts<ParticipantId>;

impl Fact<ParticipantId> {
    /// The participant in a word; 0 is nobody.
    pub(crate) fn participant(bits: u32) -> Self {
        ParticipantId::from_bits(bits).map_or(Fact::Nothing, Fact::Who)
    }
}

impl<P> Fact<P> {
    /// The same fact with participants named otherwise.
    pub(crate) fn map<Q>(self, name: &mut impl FnMut(P) -> Q) -> Fact<Q> {
        match self {
            Fact::Nothing => Fact::Nothing,
            Fact::Flag(yes) => Fact::Flag(yes),
            Fact::Number(number) => Fact::Number(number),
            Fact::Signed(number) => Fact::Signed(number),
            Fact::Real(number) => Fact::Real(number),
            Fact::Text(text) => Fact::Text(text),
            Fact::Who(participant) => Fact::Who(name(participant)),
            Fact::List(facts) => Fact::List(facts.into_iter().map(|fact| fact.map(name)).collect()),
            Fact::Part(facts) => Fact::Part(map_all(facts, name)),
        }
    }
}

/// The same facts with participants named otherwise.
pub(crate) fn map_all<P, Q>(facts: Facts<P>, name: &mut impl FnMut(P) -> Q) -> Facts<Q> {
    facts.into_iter().map(|(label, fact)| (label, fact.map(name))).collect()
}

/// Serialised without tags: `null`, a boolean, a number, a string, a participant, an array, or a map.
impl<P: Serialize> Serialize for Fact<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Fact::Nothing => serializer.serialize_none(),
            Fact::Flag(yes) => serializer.serialize_bool(*yes),
            Fact::Number(number) => serializer.serialize_u64(*number),
            Fact::Signed(number) => serializer.serialize_i64(*number),
            Fact::Real(number) => serializer.serialize_f64(*number),
            Fact::Text(text) => serializer.serialize_str(text),
            Fact::Who(participant) => participant.serialize(serializer),
            Fact::List(facts) => serializer.collect_seq(facts),
            Fact::Part(facts) => {
                let mut map = serializer.serialize_map(Some(facts.len()))?;
                for (label, fact) in facts {
                    map.serialize_entry(label, fact)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_facts_serialise_without_tags_and_keep_their_order() {
        let facts = Fact::Part(vec![
            ("z", Fact::participant(0)),
            ("a", Fact::Part(vec![("who", Fact::participant(9)), ("x", Fact::Signed(-1))])),
            ("l", Fact::List(vec![Fact::Flag(true), Fact::Real(0.5), Fact::Text("t".into())])),
        ]);
        let named = facts.map(&mut |id: ParticipantId| format!("#{}", id.to_bits()));
        let text = serde_json::to_string(&named).unwrap();
        assert_eq!(text, r##"{"z":null,"a":{"who":"#9","x":-1},"l":[true,0.5,"t"]}"##);
    }
}
