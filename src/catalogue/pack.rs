//! The bytes of the data: variable-length numbers, compression, base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{DeflateDecoder, DeflateEncoder};
use std::io::Write;

/// Appends a number, seven bits a byte, lowest first (LEB128).
pub(super) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number that may be negative: its sign goes into the lowest bit (zigzag).
pub(super) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a text of bytes behind its length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes numbers off the front of bytes that this room made itself.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next number; `None` at a broken end.
    pub(super) fn uint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&b, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The next number that may be negative.
    pub(super) fn int(&mut self) -> Option<i64> {
        let value = self.uint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

/// How names are front-coded: how many bytes a name has in common with the one before.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Compresses (raw deflate, RFC 1951) and writes as base64, which no html can misread.
pub(super) fn pack(raw: &[u8]) -> String {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(raw.len() / 2), Compression::new(6));
    // Writing into memory: it can't fail, and on failure the block would be empty and refused by
    // the page, not wrong.
    let packed = encoder.write_all(raw).and_then(|()| encoder.finish()).unwrap_or_default();
    STANDARD.encode(packed)
}

/// The reverse of [`pack`]; `None` for what it did not make.
pub(super) fn unpack(block: &str) -> Option<Vec<u8>> {
    let packed = STANDARD.decode(block).ok()?;
    let mut decoder = DeflateDecoder::new(Vec::with_capacity(packed.len() * 3));
    decoder.write_all(&packed).ok()?;
    decoder.finish().ok()
}
