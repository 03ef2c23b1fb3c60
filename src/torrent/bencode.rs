//! Bencode, the encoding of metainfo files and trackers (BEP 3).
//!
//! Strings are bytes: names need not be UTF-8. The writer sorts the keys of dictionaries as raw bytes, so equal values
//! have equal encodings, and the info hash depends on nothing else. The reader takes that canonical form alone: no
//! leading zeros, no `-0`, keys ascending and each once, nothing behind the value.

use std::collections::BTreeMap;

/// Deepest nesting that is read. A metainfo file needs five.
const DEEPEST: usize = 32;

/// One value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `i…e`
    Int(i64),
    /// `<length>:…`
    Bytes(Vec<u8>),
    /// `l…e`
    List(Vec<Value>),
    /// `d…e`, keys ascending.
    Dict(BTreeMap<Vec<u8>, Value>),
}

/// Why some bytes are no bencoded value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no bencoded value: {what} at byte {at}")]
pub struct Damage {
    /// What is wrong.
    pub what: &'static str,
    /// Where, from the beginning of what was read.
    pub at: usize,
}

impl Value {
    /// A byte string.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// A dictionary. Of equal keys the last counts.
    pub fn dict<K: Into<Vec<u8>>>(members: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Dict(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// The member of a dictionary; `None` when there is none, or this is no dictionary.
    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        match self {
            Self::Dict(members) => members.get(key),
            _ => None,
        }
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
            Self::Bytes(bytes) => write_bytes(out, bytes),
            Self::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Self::Dict(members) => {
                out.push(b'd');
                for (key, value) in members {
                    write_bytes(out, key);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }

    /// Reads one value that fills `text`. Takes memory in proportion to `text`, whatever lengths it names.
    pub fn parse(text: &[u8]) -> Result<Self, Damage> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        if reader.at == text.len() { Ok(value) } else { Err(reader.damage("something follows")) }
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    fn damage(&self, what: &'static str) -> Damage {
        Damage { what, at: self.at }
    }

    fn peek(&self) -> Result<u8, Damage> {
        self.text.get(self.at).copied().ok_or(self.damage("it breaks off"))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Damage> {
        if depth > DEEPEST {
            return Err(self.damage("nested too deeply"));
        }
        match self.peek()? {
            b'i' => {
                self.at += 1;
                self.number(b'e').map(Value::Int)
            }
            b'l' => {
                self.at += 1;
                let mut values = Vec::new();
                while self.peek()? != b'e' {
                    values.push(self.value(depth + 1)?);
                }
                self.at += 1;
                Ok(Value::List(values))
            }
            b'd' => {
                self.at += 1;
                let mut members = BTreeMap::new();
                while self.peek()? != b'e' {
                    let begun = self.at;
                    let key = self.string()?.to_vec();
                    if members.last_key_value().is_some_and(|(last, _)| *last >= key) {
                        return Err(Damage { what: "keys out of order", at: begun });
                    }
                    let value = self.value(depth + 1)?;
                    members.insert(key, value);
                }
                self.at += 1;
                Ok(Value::Dict(members))
            }
            b'0'..=b'9' => Ok(Value::bytes(self.string()?)),
            _ => Err(self.damage("neither number, string, list nor dictionary")),
        }
    }

    /// Decimal digits up to `end`, which is taken too.
    fn number(&mut self, end: u8) -> Result<i64, Damage> {
        let rest = &self.text[self.at..];
        // The longest number of 64 bits has 20 characters.
        let length = rest.iter().take(21).position(|&b| b == end);
        let length = length.ok_or(self.damage("a number without an end"))?;
        let wrong = self.damage("no whole number");
        let digits = std::str::from_utf8(&rest[..length]).map_err(|_| wrong)?;
        let number: i64 = digits.parse().map_err(|_| wrong)?;
        // Refuses "+1", "-0" and leading zeros, which `parse` takes.
        if number.to_string() != digits {
            return Err(wrong);
        }
        self.at += length + 1;
        Ok(number)
    }

    fn string(&mut self) -> Result<&'t [u8], Damage> {
        let begun = self.at;
        let length = self.number(b':')?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let bytes = end.and_then(|end| self.text.get(self.at..end));
        let bytes =
            bytes.ok_or(Damage { what: "a string longer than what there is", at: begun })?;
        self.at += bytes.len();
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_what_the_standard_shows() {
        let spam = Value::dict([("spam", Value::List(vec![Value::bytes("a"), Value::bytes("b")]))]);
        for (value, text) in [
            (Value::bytes("spam"), &b"4:spam"[..]),
            (Value::bytes(""), b"0:"),
            (Value::bytes([0xff, 0]), b"2:\xff\0"),
            (Value::Int(3), b"i3e"),
            (Value::Int(-3), b"i-3e"),
            (Value::Int(0), b"i0e"),
            (spam, b"d4:spaml1:a1:bee"),
            (Value::dict([("b", Value::Int(1)), ("B", Value::Int(2))]), b"d1:Bi2e1:bi1ee"),
            (Value::List(vec![]), b"le"),
        ] {
            assert_eq!(value.encode(), text);
            assert_eq!(Value::parse(text), Ok(value));
        }
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        for (text, what) in [
            (&b""[..], "it breaks off"),
            (b"i03e", "no whole number"),
            (b"i-0e", "no whole number"),
            (b"i+1e", "no whole number"),
            (b"ie", "no whole number"),
            (b"i1", "a number without an end"),
            (b"i99999999999999999999e", "no whole number"),
            (b"4:spa", "a string longer than what there is"),
            (b"99999999999999:a", "a string longer than what there is"),
            (b"9223372036854775807:a", "a string longer than what there is"),
            (b"-1:a", "neither number, string, list nor dictionary"),
            (b"01:a", "no whole number"),
            (b"l", "it breaks off"),
            (b"d1:a", "it breaks off"),
            (b"di1e1:ae", "no whole number"),
            (b"d1:bi1e1:ai1ee", "keys out of order"),
            (b"d1:ai1e1:ai1ee", "keys out of order"),
            (b"i1ei2e", "something follows"),
            (b"x", "neither number, string, list nor dictionary"),
        ] {
            assert_eq!(Value::parse(text).unwrap_err().what, what, "{}", text.escape_ascii());
        }
        assert_eq!(Value::parse(&b"l".repeat(100_000)).unwrap_err().what, "nested too deeply");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<i64>().prop_map(Value::Int), any::<Vec<u8>>().prop_map(Value::Bytes)];
        leaf.prop_recursive(4, 40, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
                prop::collection::btree_map(any::<Vec<u8>>(), inner, 0..8).prop_map(Value::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in any_value()) {
            prop_assert_eq!(Value::parse(&value.encode()), Ok(value));
        }

        #[test]
        fn no_bytes_make_it_panic_and_what_is_read_is_written_the_same(text in any::<Vec<u8>>()) {
            if let Ok(value) = Value::parse(&text) {
                prop_assert_eq!(value.encode(), text);
            }
        }
    }
}
