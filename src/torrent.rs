//! Torrents: a `.torrent` file and a magnet link for a file or folder at home (BEP 3, BEP 9, BEP 19).
//!
//! In: a name at home and the file system port. Out: the bytes of a metainfo file. What it must never do: publish a file
//! that changed while it was hashed, or change a byte of what it reads.

pub mod bencode;
pub mod making;
pub mod metainfo;

pub use making::{Making, MakingError};
pub use metainfo::{Layout, Metainfo, Options, OptionsError};
