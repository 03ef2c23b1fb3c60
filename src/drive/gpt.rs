//! A partition table with one partition over the whole drive. Pure: the size of the drive in, the
//! bytes to write and the partition's place out.
//!
//! Layout: UEFI specification 2.10, chapter 5 (GPT), with the protective MBR that it asks for.

/// Where bytes go on the drive.
pub type Piece = (u64, Vec<u8>);

/// The type "Linux file system", as its bytes lie on the drive: systems that can't read it leave
/// it alone.
const LINUX: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
const ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// Partitions begin and end at whole MiB, which suits every drive; ours begins at the first of them.
pub const ALIGN: u64 = 1 << 20;

/// A new table for a drive of `size` bytes in sectors of `sector`, named by two random numbers.
/// `None`: the drive is too small, or the sector no power of two of at least 512.
pub fn table(size: u64, sector: u64, disk: [u8; 16], partition: [u8; 16]) -> Option<Vec<Piece>> {
    if sector < 512 || !sector.is_power_of_two() || sector > 65_536 || size < 16 * ALIGN {
        return None;
    }
    let last = size / sector - 1;
    let spread = (ENTRIES * ENTRY) as u64 / sector;
    let first_usable = 2 + spread.max(1);
    let last_usable = last - spread.max(1) - 1;
    let (start, end) = (ALIGN / sector, (last_usable + 1) * sector / ALIGN * ALIGN / sector - 1);

    let mut entries = vec![0; ENTRIES * ENTRY];
    entries[..16].copy_from_slice(&LINUX);
    entries[16..32].copy_from_slice(&random_guid(partition));
    entries[32..40].copy_from_slice(&start.to_le_bytes());
    entries[40..48].copy_from_slice(&end.to_le_bytes());
    for (at, unit) in "Larder".encode_utf16().enumerate() {
        entries[56 + 2 * at..58 + 2 * at].copy_from_slice(&unit.to_le_bytes());
    }
    let header = |here: u64, other: u64, entries_at: u64| {
        let mut bytes = vec![0; usize::try_from(sector).unwrap_or(512)];
        bytes[..8].copy_from_slice(b"EFI PART");
        bytes[8..12].copy_from_slice(&0x0001_0000u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&92u32.to_le_bytes());
        bytes[24..32].copy_from_slice(&here.to_le_bytes());
        bytes[32..40].copy_from_slice(&other.to_le_bytes());
        bytes[40..48].copy_from_slice(&first_usable.to_le_bytes());
        bytes[48..56].copy_from_slice(&last_usable.to_le_bytes());
        bytes[56..72].copy_from_slice(&random_guid(disk));
        bytes[72..80].copy_from_slice(&entries_at.to_le_bytes());
        bytes[80..84].copy_from_slice(&(ENTRIES as u32).to_le_bytes());
        bytes[84..88].copy_from_slice(&(ENTRY as u32).to_le_bytes());
        bytes[88..92].copy_from_slice(&crc(&entries).to_le_bytes());
        let sum = crc(&bytes[..92]);
        bytes[16..20].copy_from_slice(&sum.to_le_bytes());
        bytes
    };
    let spare = last - spread.max(1);
    Some(vec![
        (spare * sector, entries.clone()),
        (last * sector, header(last, 1, spare)),
        (2 * sector, entries.clone()),
        (sector, header(1, last, 2)),
        (0, protective(last)),
    ])
}

/// The old kind of table, which says "all taken" to systems that know no other.
fn protective(last: u64) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let sectors = u32::try_from(last).unwrap_or(u32::MAX);
    bytes[446..462].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]);
    bytes[458..462].copy_from_slice(&sectors.to_le_bytes());
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// Sixteen random bytes as a random GUID (RFC 9562, version 4), in the order of GPT.
fn random_guid(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[7] = bytes[7] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::super::signature::{self, Kind};
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    #[test]
    fn another_program_finds_the_table_right() {
        let dir = tempfile::tempdir().unwrap();
        for size in [16u64 << 20, (64 << 20) + 512, (4 << 40) + 4096] {
            let path = dir.path().join("disk");
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(size).unwrap();
            for (at, bytes) in table(size, 512, [7; 16], [9; 16]).unwrap() {
                file.write_all_at(&bytes, at).unwrap();
            }
            let file = std::fs::File::open(&path).unwrap();
            let found = signature::read(&|at, out| file.read_exact_at(out, at), size).unwrap();
            assert_eq!(found.kind, Kind::Partitioned);
            let Ok(output) = Command::new("sfdisk").arg("--verify").arg(&path).output() else {
                eprintln!("SKIPPED: sfdisk is not installed here");
                return;
            };
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success() && said.contains("No errors detected"), "{said}");
            let dump = Command::new("sfdisk").arg("--dump").arg(&path).output().unwrap();
            let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
            assert!(
                dump.contains("start=        2048") && dump.contains("name=\"Larder\""),
                "{dump}"
            );
            assert!(dump.contains("type=0FC63DAF-8483-4772-8E79-3D69D8477DE4"), "{dump}");
        }
    }

    proptest! {
        #[test]
        fn everything_stays_on_the_drive_and_apart(size in (16u64 << 20)..(20 << 40), wide: bool) {
            let sector = if wide { 4096 } else { 512 };
            let size = size / sector * sector;
            let mut pieces = table(size, sector, [1; 16], [2; 16]).unwrap();
            let entry = pieces[2].1.clone();
            let lba = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap());
            let (start, end) = (lba(32) * sector, (lba(40) + 1) * sector);
            prop_assert!(start < end && start % ALIGN == 0 && end % ALIGN == 0);
            pieces.push((start, vec![0; 1]));
            pieces.push((end - 1, vec![0; 1]));
            pieces.sort_by_key(|(at, _)| *at);
            for pair in pieces.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1.len() as u64 <= pair[1].0);
            }
            let (at, bytes) = &pieces[pieces.len() - 1];
            prop_assert!(at + bytes.len() as u64 <= size);
        }
    }
}
