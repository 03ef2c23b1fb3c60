//! What a partition table says beside the places of its partitions, which the kernel shows. Pure apart from the
//! reading it is handed.
//!
//! In comes a way to read the whole drive; out comes what its partitions are for, and whether the table was written
//! for sectors of another size. The second happens when a drive is moved to another enclosure: many show a drive's
//! sectors of 512 bytes as sectors of 4,096, some don't, and a table counts in sectors. Everything on the drive is
//! sound then and only looks lost. Like [`super::signature`] it trusts nothing that it reads.
//!
//! Layout: UEFI specification 2.10, chapter 5.

use super::signature::{self, Kind, ReadAt};
use std::io;

/// What a partition is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// Whatever somebody wants to keep.
    #[default]
    Files,
    /// It starts a computer: an EFI system partition.
    Efi,
    /// A system keeps it for itself: Windows' recovery, the gap it reserves, a Mac's helper to start.
    System,
}

/// The sizes of sectors that drives are shown with.
const SECTORS: [u64; 2] = [512, 4096];

/// Types of GPT partitions, as their bytes lie on the drive.
const TYPES: [([u8; 16], Role); 5] = [
    // C12A7328-F81F-11D2-BA4B-00A0C93EC93B
    (*b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b", Role::Efi),
    // E3C9E316-0B5C-4DB8-817D-F92DF00215AE, Microsoft's reserved one
    (*b"\x16\xe3\xc9\xe3\x5c\x0b\xb8\x4d\x81\x7d\xf9\x2d\xf0\x02\x15\xae", Role::System),
    // DE94BBA4-06D1-4D40-A16A-BFD50179D6AC, Windows' recovery
    (*b"\xa4\xbb\x94\xde\xd1\x06\x40\x4d\xa1\x6a\xbf\xd5\x01\x79\xd6\xac", Role::System),
    // 426F6F74-0000-11AA-AA11-00306543ECAC, a Mac's "Boot OS X"
    (*b"\x74\x6f\x6f\x42\x00\x00\xaa\x11\xaa\x11\x00\x30\x65\x43\xec\xac", Role::System),
    // 21686148-6449-6E6F-744E-656564454649, GRUB's
    (*b"Hah!IdontNeedEFI", Role::System),
];

/// What the partitions are for that are not simply for files, by the byte that each begins at. `size` and `sector`
/// as the drive is shown.
pub fn roles(read: &ReadAt<'_>, size: u64, sector: u64) -> io::Result<Vec<(u64, Role)>> {
    let Some(table) = gpt(read, size, sector)? else {
        let mbr = mbr(read, size)?;
        let efi = mbr.iter().filter(|(kind, _)| *kind == 0xef);
        return Ok(efi.map(|(_, start)| (start.saturating_mul(sector), Role::Efi)).collect());
    };
    let mut roles = Vec::new();
    for index in 0..table.count {
        let at = table.entries.saturating_add(index * table.entry);
        let Some(entry) = bytes::<40>(read, size, at)? else { break };
        if let Some((_, role)) = TYPES.iter().find(|(kind, _)| entry[..16] == *kind) {
            roles.push((le64(&entry, 32).saturating_mul(sector), *role));
        }
    }
    Ok(roles)
}

/// The size of the sectors that the table was written for, when it is another one than that of the sectors `shown`,
/// which hides the partitions or shows them at wrong places.
pub fn formatted_for(read: &ReadAt<'_>, size: u64, shown: u64) -> io::Result<Option<u64>> {
    const MAGIC: [u8; 8] = *b"EFI PART";
    for at in [shown, (size / shown).saturating_sub(1) * shown] {
        if bytes::<8>(read, size, at)? == Some(MAGIC) {
            return Ok(None);
        }
    }
    let mbr = mbr(read, size)?;
    for other in SECTORS.into_iter().filter(|other| *other != shown) {
        if gpt(read, size, other)?.is_some() {
            return Ok(Some(other));
        }
        for (_, start) in mbr.iter().filter(|(kind, _)| *kind != 0xee) {
            let here = begins_at(read, size, start.saturating_mul(shown))?;
            if !here && begins_at(read, size, start.saturating_mul(other))? {
                return Ok(Some(other));
            }
        }
    }
    Ok(None)
}

/// Whether something that has a name begins there.
fn begins_at(read: &ReadAt<'_>, size: u64, start: u64) -> io::Result<bool> {
    let Some(rest) = size.checked_sub(start).filter(|rest| *rest > 0 && start > 0) else {
        return Ok(false);
    };
    let from_there = |at: u64, out: &mut [u8]| read(start.saturating_add(at), out);
    let kind = signature::read(&from_there, rest)?.kind;
    Ok(!matches!(kind, Kind::Blank | Kind::Unknown | Kind::Partitioned))
}

struct Gpt {
    entries: u64,
    entry: u64,
    count: u64,
}

/// A table whose header is whole: the first copy, else the one in the last sector.
fn gpt(read: &ReadAt<'_>, size: u64, sector: u64) -> io::Result<Option<Gpt>> {
    let last = (size / sector).saturating_sub(1);
    for here in [1, last] {
        let Some(mut header) = bytes::<92>(read, size, here * sector)? else { continue };
        let sum = le32(&header, 16);
        header[16..20].fill(0);
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        let (entry, count) = (le32(&header, 84), le32(&header, 80));
        let whole = header[..8] == *b"EFI PART"
            && le32(&header, 12) == 92
            && crc.sum() == sum
            && le64(&header, 24) == here
            && (128..=4096).contains(&entry)
            && count <= 1024;
        if whole {
            let entries = le64(&header, 72).saturating_mul(sector);
            return Ok(Some(Gpt { entries, entry: entry.into(), count: count.into() }));
        }
    }
    Ok(None)
}

/// Type and first sector of the four partitions of the old kind of table.
fn mbr(read: &ReadAt<'_>, size: u64) -> io::Result<Vec<(u8, u64)>> {
    let Some(head) = bytes::<512>(read, size, 0)? else { return Ok(Vec::new()) };
    if head[510..] != [0x55, 0xaa] {
        return Ok(Vec::new());
    }
    let entry = |at: usize| (head[at + 4], u64::from(le32(&head, at + 8)));
    let flags = |at: &usize| matches!(head[*at], 0 | 0x80) && head[at + 4] != 0;
    Ok([446, 462, 478, 494].into_iter().filter(flags).map(entry).collect())
}

/// The bytes there; `None` where the drive is shorter.
fn bytes<const N: usize>(read: &ReadAt<'_>, size: u64, at: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    if at.checked_add(N as u64).is_none_or(|end| end > size) {
        return Ok(None);
    }
    read(at, &mut bytes)?;
    Ok(Some(bytes))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // test files
mod tests {
    use super::super::gpt;
    use super::*;
    use proptest::prelude::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::process::Command;

    const SIZE: u64 = 96 << 20;

    fn image() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create_new(dir.path().join("disk")).unwrap();
        file.set_len(SIZE).unwrap();
        let file = File::options().read(true).write(true).open(dir.path().join("disk")).unwrap();
        (dir, file)
    }

    fn asked(file: &File, shown: u64) -> Option<u64> {
        formatted_for(&|at, out| file.read_exact_at(out, at), SIZE, shown).unwrap()
    }

    #[test]
    fn a_table_for_sectors_of_another_size_is_known_by_either_copy() {
        for (made_for, other) in [(512, 4096), (4096, 512)] {
            let (_dir, file) = image();
            assert_eq!(asked(&file, 512), None, "blank");
            for (at, bytes) in gpt::table(SIZE, made_for, [7; 16], [9; 16]).unwrap() {
                file.write_all_at(&bytes, at).unwrap();
            }
            assert_eq!(asked(&file, made_for), None);
            assert_eq!(asked(&file, other), Some(made_for));
            // The first copy is torn: the last one tells.
            file.write_all_at(&[0; 92], made_for).unwrap();
            assert_eq!(asked(&file, made_for), None);
            assert_eq!(asked(&file, other), Some(made_for));
            // Nothing is claimed of a header whose checksum is wrong.
            file.write_all_at(b"EFI PART", made_for).unwrap();
            file.write_all_at(&[0; 92], SIZE - made_for).unwrap();
            assert_eq!(asked(&file, other), None);
        }
    }

    #[test]
    fn an_old_table_is_known_by_the_file_system_that_stands_elsewhere() {
        let (dir, file) = image();
        let mut head = [0; 512];
        head[510..].copy_from_slice(&[0x55, 0xaa]);
        // NTFS from sector 2048, of 4,096 bytes: at 8 MiB and not at 1 MiB.
        (head[446 + 4], head[446 + 9]) = (7, 8);
        head[446 + 12] = 1;
        file.write_all_at(&head, 0).unwrap();
        assert_eq!(asked(&file, 512), None, "nothing there");
        file.write_all_at(b"NTFS    ", (8 << 20) + 3).unwrap();
        assert_eq!(asked(&file, 512), Some(4096));
        assert_eq!(asked(&file, 4096), None);
        file.write_all_at(b"NTFS    ", (1 << 20) + 3).unwrap();
        assert_eq!(asked(&file, 512), None);
        drop(dir);
    }

    #[test]
    fn roles_are_read_from_tables_that_another_program_made() {
        let wanted =
            [("gpt", "U", "L", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), ("dos", "ef", "c", "ef")];
        for (label, efi, files, _) in wanted {
            let (dir, file) = image();
            let script =
                format!("printf 'label: {label}\\n,8M,{efi}\\n,8M,{files}\\n' | sfdisk -q \"$0\"");
            let made =
                Command::new("sh").args(["-c", &script]).arg(dir.path().join("disk")).status();
            if !made.is_ok_and(|status| status.success()) {
                eprintln!("SKIPPED: sfdisk is not installed here");
                return;
            }
            let found = roles(&|at, out| file.read_exact_at(out, at), SIZE, 512).unwrap();
            assert_eq!(found, [(1 << 20, Role::Efi)], "{label}");
        }
    }

    proptest! {
        #[test]
        fn hostile_tables_are_survived(
            noise in proptest::collection::vec(any::<u8>(), 8192), size in 0usize..40_000, shown in 0usize..2,
        ) {
            let mut bytes: Vec<u8> = noise.iter().copied().cycle().take(size).collect();
            for (at, mark) in [(510, &[0x55, 0xaa][..]), (SECTORS[1 - shown] as usize, b"EFI PART")] {
                if at + mark.len() <= size {
                    bytes[at..at + mark.len()].copy_from_slice(mark);
                }
            }
            let read = |at: u64, out: &mut [u8]| {
                let at = usize::try_from(at).unwrap();
                let piece = bytes.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                out.copy_from_slice(piece);
                Ok(())
            };
            let shown = SECTORS[shown];
            prop_assert!(formatted_for(&read, size as u64, shown).is_ok());
            prop_assert!(roles(&read, size as u64, shown).is_ok());
        }
    }
}
