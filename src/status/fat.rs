//! Where a file lies on a FAT partition: in comes a way to read the partition, out come the byte
//! ranges of the file. Pure apart from the reading it is handed.
//!
//! STATUS.txt is rewritten through the block device, because any change through a mounted FAT
//! also writes the directory and marks the partition "not unmounted", for which Windows asks the
//! owner to repair the card. It reads only the root directory and knows only 8.3 names. Whatever
//! it reads may be damaged: it answers with an error, never with a range outside the partition.

use std::io;

/// Reads exactly the buffer's length at an offset of the partition.
pub type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> io::Result<()> + 'a;

/// A run of bytes on the partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// Why the file's place can't be told.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The partition can't be read.
    #[error("the boot partition can't be read: {0}; try the card in a computer")]
    Read(#[from] io::Error),
    /// It is no FAT we know.
    #[error("the boot partition is no FAT file system ({0}); flash the card again")]
    NotFat(&'static str),
    /// There is no such file.
    #[error(
        "{0} is missing on the boot partition; copy it there from the image, at its full length"
    )]
    Missing(String),
    /// Its length is not as expected.
    #[error(
        "{name} is {found} bytes long, not {wanted}; copy it from the image at its full length"
    )]
    Length {
        /// File name.
        name: String,
        /// Its length.
        found: u64,
        /// What it should be.
        wanted: u64,
    },
    /// The chain of clusters is broken.
    #[error("{0} is damaged on the boot partition; check the card in a computer")]
    Damaged(String),
}

struct Fat {
    cluster: u64,
    fat_at: u64,
    data_at: u64,
    clusters: u64,
    width: u32,
    root: Root,
}

enum Root {
    Fixed { at: u64, bytes: u64 },
    Chain(u64),
}

/// The runs of the root directory's file `name` (as in `STATUS.TXT`), which must be `length` bytes
/// long, in the file's order; together they are `length` bytes.
pub fn locate(read: &ReadAt<'_>, name: &str, length: u64) -> Result<Vec<Run>, FatError> {
    let fat = open(read)?;
    let (first, found) = entry(read, &fat, name)?;
    if found != length {
        return Err(FatError::Length { name: name.into(), found, wanted: length });
    }
    let needed = length.div_ceil(fat.cluster);
    let chain = chain(read, &fat, first, needed)?;
    if (chain.len() as u64) < needed {
        return Err(FatError::Damaged(name.into()));
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut left = length;
    for cluster in chain {
        let offset = fat.data_at + (cluster - 2) * fat.cluster;
        let length = left.min(fat.cluster);
        left -= length;
        match runs.last_mut() {
            Some(run) if run.offset + run.length == offset => run.length += length,
            _ => runs.push(Run { offset, length }),
        }
    }
    Ok(runs)
}

fn open(read: &ReadAt<'_>) -> Result<Fat, FatError> {
    let mut boot = [0; 512];
    read(0, &mut boot)?;
    let le16 = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let le32 = |at: usize| le16(at) | le16(at + 2) << 16;
    if boot[510..] != [0x55, 0xaa] {
        return Err(FatError::NotFat("no boot signature"));
    }
    let (sector, per_cluster) = (le16(11), u64::from(boot[13]));
    if ![512, 1024, 2048, 4096].contains(&sector) || !per_cluster.is_power_of_two() {
        return Err(FatError::NotFat("odd sector or cluster size"));
    }
    let (reserved, copies, entries) = (le16(14), u64::from(boot[16]), le16(17));
    let total = if le16(19) != 0 { le16(19) } else { le32(32) };
    let fat_sectors = if le16(22) != 0 { le16(22) } else { le32(36) };
    let root_sectors = (entries * 32).div_ceil(sector);
    let before = reserved + copies * fat_sectors + root_sectors;
    if reserved == 0 || copies == 0 || fat_sectors == 0 || before >= total {
        return Err(FatError::NotFat("the parts do not fit"));
    }
    let clusters = (total - before) / per_cluster;
    let width = match clusters {
        ..4085 => 12,
        4085..65525 => 16,
        _ => 32,
    };
    let root = if width == 32 {
        Root::Chain(le32(44))
    } else {
        Root::Fixed { at: (before - root_sectors) * sector, bytes: entries * 32 }
    };
    Ok(Fat {
        cluster: per_cluster * sector,
        fat_at: reserved * sector,
        data_at: before * sector,
        clusters,
        width,
        root,
    })
}

/// First cluster and length of a file in the root directory.
fn entry(read: &ReadAt<'_>, fat: &Fat, name: &str) -> Result<(u64, u64), FatError> {
    /// A root directory longer than this is not one of ours.
    const LONGEST: u64 = 2 << 20;
    let runs = match fat.root {
        Root::Fixed { at, bytes } => vec![Run { offset: at, length: bytes }],
        Root::Chain(first) => chain(read, fat, first, LONGEST / fat.cluster)?
            .into_iter()
            .map(|c| Run { offset: fat.data_at + (c - 2) * fat.cluster, length: fat.cluster })
            .collect(),
    };
    let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
    let short = format!("{stem:<8}{ending:<3}").to_ascii_uppercase();
    for run in runs {
        let mut bytes = vec![0; usize::try_from(run.length).unwrap_or(0)];
        read(run.offset, &mut bytes)?;
        for entry in bytes.as_chunks::<32>().0 {
            // 0x08: volume label (and, with others, a piece of a long name); 0x10: directory.
            if entry[0] == 0 {
                return Err(FatError::Missing(name.into()));
            }
            if entry[..11] == *short.as_bytes() && entry[11] & 0x18 == 0 {
                let le16 = |at: usize| u64::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
                let high = if fat.width == 32 { le16(20) << 16 } else { 0 };
                return Ok((high | le16(26), le16(28) | le16(30) << 16));
            }
        }
    }
    Err(FatError::Missing(name.into()))
}

/// At most `limit` clusters of the chain that begins with `first`.
fn chain(read: &ReadAt<'_>, fat: &Fat, first: u64, limit: u64) -> Result<Vec<u64>, FatError> {
    let mut chain = Vec::new();
    let mut cluster = first;
    while (chain.len() as u64) < limit && (2..fat.clusters + 2).contains(&cluster) {
        chain.push(cluster);
        cluster = match fat.width {
            12 => {
                let mut pair = [0; 2];
                read(fat.fat_at + cluster + cluster / 2, &mut pair)?;
                let both = u64::from(u16::from_le_bytes(pair));
                if cluster.is_multiple_of(2) { both & 0xfff } else { both >> 4 }
            }
            16 => {
                let mut pair = [0; 2];
                read(fat.fat_at + cluster * 2, &mut pair)?;
                u64::from(u16::from_le_bytes(pair))
            }
            _ => {
                let mut four = [0; 4];
                read(fat.fat_at + cluster * 4, &mut four)?;
                u64::from(u32::from_le_bytes(four) & 0x0fff_ffff)
            }
        };
    }
    Ok(chain)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // test files
mod tests {
    use super::super::layout;
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn has(tool: &str) -> bool {
        let found = Command::new(tool).arg("--version").output().is_ok();
        if !found {
            eprintln!("SKIPPED: {tool} is not installed here");
        }
        found
    }

    fn read_from(image: &[u8]) -> impl Fn(u64, &mut [u8]) -> io::Result<()> + '_ {
        move |offset, out| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let bytes = image.get(start..start + out.len());
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    fn image(width: &str, size: &str) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let (path, status) = (dir.path().join("fat.img"), dir.path().join("status"));
        let first = dir.path().join("first");
        std::fs::write(&status, layout::blank()).unwrap();
        std::fs::write(&first, vec![b'x'; 40_000]).unwrap();
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            assert!(Command::new(program).args(args).output().unwrap().status.success());
        };
        run("truncate", &["-s".as_ref(), size.as_ref(), path.as_ref()]);
        run("mkfs.vfat", &["-F".as_ref(), width.as_ref(), path.as_ref()]);
        for (from, to) in [(&first, "::a long name before.bin"), (&status, "::STATUS.txt")] {
            run("mcopy", &["-i".as_ref(), path.as_ref(), from.as_ref(), to.as_ref()]);
        }
        std::fs::read(path).unwrap()
    }

    #[test]
    fn the_status_file_of_a_real_fat_is_found_where_it_is() {
        if !has("mkfs.vfat") || !has("mcopy") {
            return;
        }
        for (width, size) in [("12", "1440K"), ("16", "32M"), ("32", "64M")] {
            let image = image(width, size);
            let runs = locate(&read_from(&image), "STATUS.TXT", layout::LENGTH as u64).unwrap();
            let mut found = Vec::new();
            for run in &runs {
                let start = run.offset as usize;
                found.extend_from_slice(&image[start..start + run.length as usize]);
            }
            assert_eq!(found, layout::blank(), "FAT{width}: {runs:?}");
            let missing = locate(&read_from(&image), "NOTHING.TXT", 1).unwrap_err();
            assert!(matches!(missing, FatError::Missing(_)), "{missing}");
            let short = locate(&read_from(&image), "STATUS.TXT", 7).unwrap_err();
            assert!(matches!(short, FatError::Length { found: 15_872, .. }), "{short}");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_fat_never_panics_nor_leads_outside(
            mut sector in proptest::collection::vec(any::<u8>(), 4096), per_cluster in 0u8..8
        ) {
            sector[510] = 0x55;
            sector[511] = 0xaa;
            sector[11..13].copy_from_slice(&[0, 2]);
            sector[13] = 1 << per_cluster;
            let read = |offset: u64, out: &mut [u8]| {
                for (i, byte) in out.iter_mut().enumerate() {
                    *byte = sector[(offset as usize + i) % sector.len()];
                }
                Ok(())
            };
            if let Ok(runs) = locate(&read, "STATUS.TXT", 15_872) {
                prop_assert_eq!(runs.iter().map(|r| r.length).sum::<u64>(), 15_872);
            }
        }
    }
}
