//! One descriptor, and the JSON that it is told in.

use rustc_hash::FxHashMap;
use serde_json::{Map, Value};

use crate::model::{Gap, Known};

/// Longest text that is read, in bytes; that of .NET 10 has 11 KB.
pub(super) const MAX_JSON: u64 = 1 << 20;

/// One descriptor.
#[derive(Debug, Default)]
pub struct Descriptor {
    /// Members of each type: bytes from its start. A type's size is the member `!`.
    types: FxHashMap<String, FxHashMap<String, u32>>,
    /// Global variables: where their addresses stand, as an index into the table of pointers that belongs to the descriptor.
    pointers: FxHashMap<String, u32>,
    /// Constants.
    values: FxHashMap<String, u64>,
}

impl Descriptor {
    /// Reads one. Names and members that nobody asks for are kept as they are; what has another form is left out.
    pub fn parse(json: &[u8]) -> Known<Descriptor> {
        parse(json)
    }

    /// A member's place in its type, in bytes.
    pub fn offset(&self, kind: &str, member: &str) -> Option<u32> {
        self.types.get(kind)?.get(member).copied()
    }

    /// Global variables, each with the index of its address.
    pub fn pointers(&self) -> impl Iterator<Item = (&str, u32)> {
        self.pointers.iter().map(|(name, index)| (name.as_str(), *index))
    }

    /// A global constant.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.values.get(name).copied()
    }
}

/// Reads the compact form. Nesting is limited by the reader.
fn parse(json: &[u8]) -> Known<Descriptor> {
    let corrupt = |what: &str| Gap::Corrupt(format!("the runtime's contract descriptor: {what}"));
    if json.len() as u64 > MAX_JSON {
        return Err(corrupt("it is too long"));
    }
    let value: Value = serde_json::from_slice(json).map_err(|error| corrupt(&error.to_string()))?;
    let part = |name: &str| value.get(name).and_then(Value::as_object);
    let types = part("types").ok_or_else(|| corrupt("it has no types"))?;
    let types = types.iter().filter_map(|(name, members)| Some((name.clone(), self::members(members.as_object()?))));
    let globals = || part("globals").into_iter().flatten();
    let pointers = globals().filter_map(|(name, value)| Some((name.clone(), index(value)?)));
    let values = globals().filter_map(|(name, value)| Some((name.clone(), constant(value)?)));
    Ok(Descriptor { types: types.collect(), pointers: pointers.collect(), values: values.collect() })
}

/// `"Id": 16` or `"LinkNext": [112, "pointer"]`.
fn members(members: &Map<String, Value>) -> FxHashMap<String, u32> {
    let offset = |value: &Value| {
        let number = value.as_array().and_then(|pair| pair.first()).unwrap_or(value);
        number.as_u64().and_then(|offset| u32::try_from(offset).ok())
    };
    members.iter().filter_map(|(name, value)| Some((name.clone(), offset(value)?))).collect()
}

/// `[3]` or `[[3], "pointer"]`; `None` for globals that are values.
fn index(value: &Value) -> Option<u32> {
    let list = value.as_array()?;
    let number = match list.first()? {
        Value::Array(inner) => inner.first()?,
        number if list.len() == 1 => number,
        _ => return None,
    };
    u32::try_from(number.as_u64()?).ok()
}

/// `4`, `"0x8"`, or either with its type behind it.
fn constant(value: &Value) -> Option<u64> {
    let value = match value {
        Value::Array(pair) if pair.len() == 2 => pair.first()?,
        other => other,
    };
    match value {
        Value::String(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        number => number.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_members_and_globals_are_read() {
        let json = br#"{"version":0,"baseline":"empty","types":{
            "Thread":{"!":64,"Id":16,"LinkNext":[112,"pointer"]}},"globals":{
            "ThreadStore":[[2],"pointer"],"AppDomain":[1],"ObjectHeaderSize":["0x8","uint64"],"RID":["1-x64","string"],
            "Depth":4},"contracts":{"Thread":1,"GC":"c1"}}"#;
        let read = parse(json).unwrap();
        assert_eq!(read.offset("Thread", "!"), Some(64));
        assert_eq!(read.offset("Thread", "Id"), Some(16));
        assert_eq!(read.offset("Thread", "LinkNext"), Some(112));
        let mut pointers: Vec<_> = read.pointers().collect();
        pointers.sort_unstable();
        assert_eq!(pointers, [("AppDomain", 1), ("ThreadStore", 2)]);
        let values = ["ObjectHeaderSize", "Depth", "RID", "ThreadStore"].map(|name| read.value(name));
        assert_eq!(values, [Some(8), Some(4), None, None]);
    }

    #[test]
    fn members_of_another_form_are_left_out_and_the_others_stay() {
        let json = br#"{"types":{"A":{"a":-1,"b":"x","c":[],"d":4294967296,"e":[[1]],"f":3},"B":7},
            "globals":{"a":[],"b":[[]],"c":[[-1]],"d":null,"e":[1,2]}}"#;
        let read = parse(json).unwrap();
        let found = ["a", "b", "c", "d", "e", "f"].map(|member| read.offset("A", member));
        assert_eq!(found, [None, None, None, None, None, Some(3)]);
        assert_eq!(read.pointers().count(), 0);
    }

    #[test]
    fn what_is_no_descriptor_is_a_gap_at_every_cut() {
        let json = br#"{"types":{"A":{"a":1}},"globals":{}}"#;
        for len in 0..json.len() {
            assert!(matches!(parse(&json[..len]), Err(Gap::Corrupt(_))), "{len}");
        }
        assert!(parse(b"[]").is_err() && parse(b"{}").is_err() && parse(br#"{"types":[]}"#).is_err());
        let deep = [br#"{"types":"#.as_slice(), "[".repeat(100_000).as_bytes()].concat();
        assert!(parse(&deep).is_err());
        let long = vec![b' '; usize::try_from(MAX_JSON).unwrap() + 1];
        assert!(parse(&long).is_err());
    }
}
