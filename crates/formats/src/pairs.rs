//! JSON objects with many fields, as bounded lists.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

/// The fields of an object in order, at most `MOST` of them. Repeated names are kept, for the
/// caller to refuse.
pub(crate) struct Pairs<V, const MOST: usize>(pub(crate) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Pairs<V, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

struct Fields<V, const MOST: usize>(PhantomData<V>);

impl<'de, V: Deserialize<'de>, const MOST: usize> Visitor<'de> for Fields<V, MOST> {
    type Value = Pairs<V, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {MOST} fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            if pairs.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
