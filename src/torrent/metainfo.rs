//! What a `.torrent` file says: names, sizes and the sums of pieces (BEP 3), web seeds (BEP 19), several trackers
//! (BEP 12) and whether it is private (BEP 27).

use super::bencode::Value;
use sha1::{Digest as _, Sha1};
use std::net::Ipv6Addr;

/// The least piece, in bytes: fewer make requests and messages the larger part.
const LEAST_PIECE: u64 = 16 << 10;
/// The largest piece that is chosen by itself; clients hold whole pieces in memory.
const LARGEST_PIECE: u64 = 16 << 20;
/// How many pieces a torrent has at most, up to what the largest piece allows. Each costs 20 bytes in the file.
const MOST_PIECES: u64 = 1_500;

/// A file in a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// The names below the torrent's folder, as raw bytes; none for a torrent of one file.
    pub names: Vec<Vec<u8>>,
    /// Bytes.
    pub length: u64,
}

/// Names and sizes, before anything is hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    name: Vec<u8>,
    files: Vec<File>,
    piece: u64,
}

/// What whoever publishes may choose.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Options {
    /// Announce addresses, the first to be tried first.
    pub trackers: Vec<String>,
    /// Addresses from which the files themselves can be fetched. Of a folder: the address of the folder that holds it,
    /// ending in `/` (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers only from the trackers (BEP 27).
    pub private: bool,
    /// Bytes of a piece, a power of two; `None` chooses by the size of all.
    pub piece: Option<u64>,
}

/// Why options can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OptionsError {
    /// The piece length has not the form that clients take.
    #[error(
        "a piece of {0} bytes is none that clients take; choose a power of two from 16384 to 67108864"
    )]
    Piece(u64),
    /// Clients know no such address.
    #[error("`{0}` is no address of a tracker; write http://…/announce, https://… or udp://…")]
    Tracker(String),
    /// Clients know no such address.
    #[error("`{0}` is no address to fetch from; write http://… or https://…")]
    WebSeed(String),
}

impl Options {
    /// Refuses what clients would not understand.
    pub fn verify(&self) -> Result<(), OptionsError> {
        let fits =
            |piece: u64| piece.is_power_of_two() && (LEAST_PIECE..=64 << 20).contains(&piece);
        if let Some(piece) = self.piece.filter(|&piece| !fits(piece)) {
            return Err(OptionsError::Piece(piece));
        }
        let is_url = |text: &str, schemes: &[&str]| {
            let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()))
        };
        let schemes = ["http://", "https://", "udp://"];
        if let Some(wrong) = self.trackers.iter().find(|text| !is_url(text, &schemes)) {
            return Err(OptionsError::Tracker(wrong.clone()));
        }
        match self.web_seeds.iter().find(|text| !is_url(text, &schemes[..2])) {
            Some(wrong) => Err(OptionsError::WebSeed(wrong.clone())),
            None => Ok(()),
        }
    }
}

impl Layout {
    /// A torrent of one file.
    pub fn of_file(name: &[u8], length: u64, options: &Options) -> Self {
        let files = vec![File { names: Vec::new(), length }];
        Self { name: name.to_vec(), piece: options.piece.unwrap_or_else(|| piece(length)), files }
    }

    /// A torrent of a folder, its files in the order of their names as raw bytes, folder by folder.
    pub fn of_folder(name: &[u8], mut files: Vec<File>, options: &Options) -> Self {
        files.sort_by(|a, b| a.names.cmp(&b.names));
        let total = files.iter().map(|file| file.length).sum();
        Self { name: name.to_vec(), piece: options.piece.unwrap_or_else(|| piece(total)), files }
    }

    /// The files, in the order in which they are hashed.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Bytes of all files.
    pub fn total(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// Names that some clients refuse, because they have control characters (seen: aria2).
    pub fn doubtful_names(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.files.iter().flat_map(|file| &file.names).chain([&self.name]);
        names.map(|name| &**name).filter(|name| name.iter().any(|b| b.is_ascii_control()))
    }

    /// The sums of the pieces, to be fed the files' bytes in their order.
    pub fn pieces(&self) -> Pieces {
        Pieces { sum: Sha1::new(), filled: 0, length: self.piece, sums: Vec::new() }
    }

    /// The metainfo, once everything was hashed.
    pub fn finish(&self, pieces: Pieces, options: &Options) -> Metainfo {
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let mut info = vec![
            ("name", Value::bytes(&*self.name)),
            ("piece length", int(self.piece)),
            ("pieces", Value::Bytes(pieces.finish())),
        ];
        match &*self.files {
            [File { names, length }] if names.is_empty() => info.push(("length", int(*length))),
            files => {
                let file = |file: &File| {
                    let path = file.names.iter().map(|name| Value::bytes(&**name)).collect();
                    Value::dict([("length", int(file.length)), ("path", Value::List(path))])
                };
                info.push(("files", Value::List(files.iter().map(file).collect())));
            }
        }
        if options.private {
            info.push(("private", Value::Int(1)));
        }
        let info = Value::dict(info);
        let infohash = Sha1::digest(info.encode()).into();
        let mut top = vec![("created by", Value::bytes("larder")), ("info", info)];
        if let Some(first) = options.trackers.first() {
            top.push(("announce", Value::bytes(&**first)));
        }
        if options.trackers.len() > 1 {
            let tier = |url: &String| Value::List(vec![Value::bytes(&**url)]);
            top.push(("announce-list", Value::List(options.trackers.iter().map(tier).collect())));
        }
        if !options.web_seeds.is_empty() {
            let seeds = options.web_seeds.iter().map(|url| Value::bytes(&**url)).collect();
            top.push(("url-list", Value::List(seeds)));
        }
        Metainfo { bytes: Value::dict(top).encode(), infohash, name: self.name.clone() }
    }
}

/// Bytes of a piece for so many bytes in all: as few pieces as [`MOST_PIECES`], as far as the largest piece allows.
fn piece(total: u64) -> u64 {
    let wanted = total.div_ceil(MOST_PIECES).max(1);
    wanted.next_power_of_two().clamp(LEAST_PIECE, LARGEST_PIECE)
}

/// The sums of the pieces so far.
#[derive(Clone, Debug)]
pub struct Pieces {
    sum: Sha1,
    /// Bytes in the piece that is begun.
    filled: u64,
    length: u64,
    sums: Vec<u8>,
}

impl Pieces {
    /// Takes the next bytes, across the borders of files.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(self.length - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.sum.update(now);
            self.filled += now.len() as u64;
            if self.filled == self.length {
                self.end_piece();
            }
            bytes = later;
        }
    }

    fn end_piece(&mut self) {
        self.sums.extend_from_slice(&std::mem::take(&mut self.sum).finalize());
        self.filled = 0;
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.end_piece();
        }
        self.sums
    }
}

/// A metainfo file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metainfo {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What names the torrent: the SHA-1 of its info dictionary.
    pub infohash: [u8; 20],
    name: Vec<u8>,
}

impl Metainfo {
    /// The info hash in 40 hexadecimal digits.
    pub fn infohash_hex(&self) -> String {
        self.infohash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A magnet link (BEP 9) with the trackers and web seeds: without DHT nobody finds a peer otherwise. `peers` are
    /// addresses at which the torrent is seeded.
    pub fn magnet(&self, options: &Options, peers: &[std::net::SocketAddr]) -> String {
        let mut link =
            format!("magnet:?xt=urn:btih:{}&dn={}", self.infohash_hex(), percent(&self.name));
        for (key, urls) in [("tr", &options.trackers), ("ws", &options.web_seeds)] {
            for url in urls {
                link.push_str(&format!("&{key}={}", percent(url.as_bytes())));
            }
        }
        for peer in peers {
            let host = match peer.ip().to_canonical() {
                std::net::IpAddr::V6(v6) => bracketed(v6),
                v4 => v4.to_string(),
            };
            link.push_str(&format!("&x.pe={host}:{}", peer.port()));
        }
        link
    }
}

fn bracketed(address: Ipv6Addr) -> String {
    format!("[{address}]")
}

fn percent(bytes: &[u8]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let one = |&b: &u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    bytes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_with_the_size_and_stay_few() {
        for (total, length) in [
            (0, 16 << 10),
            (1, 16 << 10),
            (24_576_000, 16 << 10),
            (24_576_001, 32 << 10),
            (1 << 30, 1 << 20),
            (20 << 30, 16 << 20),
            (4 << 40, 16 << 20),
        ] {
            assert_eq!(piece(total), length, "{total}");
        }
    }

    #[test]
    fn pieces_run_across_files_however_they_are_fed() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|i| (i * 7) as u8).collect();
        let expected: Vec<u8> =
            bytes.chunks(16 << 10).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        for size in [1, 3, 1000, 16_383, 16_384, 16_385, 40_000] {
            let layout = Layout::of_file(b"x", bytes.len() as u64, &Options::default());
            let mut pieces = layout.pieces();
            bytes.chunks(size).for_each(|part| pieces.feed(part));
            assert_eq!(pieces.finish(), expected, "{size}");
        }
    }

    #[test]
    fn a_folder_is_walked_in_the_order_of_raw_bytes() {
        let file = |path: &str| File {
            names: path.split('/').map(|name| name.as_bytes().to_vec()).collect(),
            length: 1,
        };
        let files = ["b", "a/z", "a-b", "a/B", "\u{e4}", "a/b"].map(file).to_vec();
        let layout = Layout::of_folder(b"top", files, &Options::default());
        let order: Vec<String> = layout
            .files()
            .iter()
            .map(|f| {
                f.names.iter().map(|n| String::from_utf8_lossy(n)).collect::<Vec<_>>().join("/")
            })
            .collect();
        assert_eq!(order, ["a/B", "a/b", "a/z", "a-b", "b", "\u{e4}"]);
    }

    #[test]
    fn the_file_says_what_was_chosen() {
        let options = Options {
            trackers: vec!["http://a.example/announce".into(), "udp://b.example:1".into()],
            web_seeds: vec!["http://a.example/files/".into()],
            private: true,
            piece: None,
        };
        let layout = Layout::of_file(b"\xff name", 3, &options);
        let mut pieces = layout.pieces();
        pieces.feed(b"abc");
        let made = layout.finish(pieces, &options);
        let top = Value::parse(&made.bytes).unwrap();
        let info = top.get(b"info").unwrap();
        assert_eq!(info.get(b"name"), Some(&Value::bytes(*b"\xff name")));
        assert_eq!(info.get(b"length"), Some(&Value::Int(3)));
        assert_eq!(info.get(b"private"), Some(&Value::Int(1)));
        assert_eq!(info.get(b"pieces"), Some(&Value::bytes(Sha1::digest(b"abc").to_vec())));
        assert_eq!(made.infohash[..], Sha1::digest(info.encode())[..]);
        assert_eq!(top.get(b"announce"), Some(&Value::bytes("http://a.example/announce")));
        assert_eq!(
            top.get(b"url-list"),
            Some(&Value::List(vec![Value::bytes("http://a.example/files/")]))
        );
        let peers = ["192.0.2.1:6881".parse().unwrap(), "[2001:db8::1]:6881".parse().unwrap()];
        assert_eq!(
            made.magnet(&options, &peers),
            format!(
                "magnet:?xt=urn:btih:{}&dn=%FF%20name&tr=http%3A%2F%2Fa.example%2Fannounce\
                 &tr=udp%3A%2F%2Fb.example%3A1&ws=http%3A%2F%2Fa.example%2Ffiles%2F\
                 &x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:6881",
                made.infohash_hex()
            )
        );
    }

    #[test]
    fn names_that_clients_refuse_are_named() {
        let options = Options::default();
        let file = |name: &[u8]| File { names: vec![name.to_vec()], length: 0 };
        let files =
            vec![file(b"plain"), file(b"a\nb"), file("\u{e4} \u{1f600}".as_bytes()), file(b"\x7f")];
        let layout = Layout::of_folder(b"top", files, &options);
        assert_eq!(layout.doubtful_names().collect::<Vec<_>>(), [&b"a\nb"[..], b"\x7f"]);
    }

    #[test]
    fn options_that_no_client_takes_are_refused() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.verify()
        };
        for piece in [0, 1, 16_383, 20_000, 128 << 20] {
            let options = Options { piece: Some(piece), ..Options::default() };
            assert_eq!(options.verify(), Err(OptionsError::Piece(piece)));
        }
        assert_eq!(with(|o| o.piece = Some(16_384)), Ok(()));
        assert_eq!(with(|o| o.trackers = vec!["udp://x:1".into()]), Ok(()));
        for wrong in ["", "http://", "ftp://x/announce", "http://a b/announce", "x"] {
            let options = Options { trackers: vec![wrong.into()], ..Options::default() };
            assert_eq!(options.verify(), Err(OptionsError::Tracker(wrong.into())));
        }
        assert_eq!(
            with(|o| o.web_seeds = vec!["udp://x:1".into()]),
            Err(OptionsError::WebSeed("udp://x:1".into()))
        );
    }
}
