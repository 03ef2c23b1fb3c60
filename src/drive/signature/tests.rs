//! The signature reader against real file systems made by their own tools, made-up marks, and
//! anything at all.
#![allow(clippy::disallowed_methods)] // test files

use super::*;
use proptest::prelude::*;
use std::os::unix::fs::FileExt;
use std::process::Command;

fn of(bytes: &[u8]) -> Signature {
    let read_at = |offset: u64, out: &mut [u8]| {
        let start = offset as usize;
        let piece = bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(piece);
        Ok(())
    };
    read(&read_at, bytes.len() as u64).unwrap()
}

/// Makes a file system with its own tool on a sparse file and reads it; `None` (and a loud word)
/// when the tool is not here.
fn made(size: &str, program: &str, args: &[&str]) -> Option<Signature> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    assert!(Command::new("truncate").args(["-s", size]).arg(&path).status().unwrap().success());
    let Ok(output) = Command::new(program).args(args).arg(&path).output() else {
        eprintln!("SKIPPED: {program} is not installed here");
        return None;
    };
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::File::open(&path).unwrap();
    let size = file.metadata().unwrap().len();
    Some(read(&|offset, out| file.read_exact_at(out, offset), size).unwrap())
}

#[test]
fn real_file_systems_are_known_by_kind_label_and_number() {
    const UUID: &str = "0a1b2c3d-1111-2222-3333-444455556666";
    let ext = |kind: &'static str| ["-q", "-t", kind, "-L", "my drive", "-U", UUID];
    for kind in ["ext2", "ext3", "ext4"] {
        if let Some(s) = made("16M", "mke2fs", &ext(kind)) {
            assert_eq!((s.kind, &*s.label, &*s.uuid), (Kind::Ext, "my drive", UUID), "{kind}");
            assert!(!s.marked);
        }
    }
    if let Some(s) = made("160M", "mkfs.btrfs", &["-q", "-L", "b", "-U", UUID]) {
        assert_eq!((s.kind, &*s.label, &*s.uuid), (Kind::Btrfs, "b", UUID));
    }
    if let Some(s) = made("320M", "mkfs.xfs", &["-q", "-L", "x", "-m", &format!("uuid={UUID}")]) {
        assert_eq!((s.kind, &*s.label, &*s.uuid), (Kind::Xfs, "x", UUID));
    }
    for (width, size) in [("12", "4M"), ("16", "32M"), ("32", "64M")] {
        let args = ["-F", width, "-n", "PHOTOS", "-i", "1234abcd"];
        if let Some(s) = made(size, "mkfs.vfat", &args) {
            assert_eq!(
                (s.kind, &*s.label, &*s.uuid),
                (Kind::Vfat, "PHOTOS", "1234-ABCD"),
                "{width}"
            );
        }
    }
    if let Some(s) = made("64M", "mkfs.vfat", &[]) {
        assert_eq!((s.kind, &*s.label), (Kind::Vfat, ""));
    }
    if let Some(s) = made("64M", "mkfs.exfat", &["-L", "Grüße"]) {
        assert_eq!((s.kind, &*s.label), (Kind::Exfat, "Grüße"));
        assert_eq!(s.uuid.len(), 9, "{}", s.uuid);
    }
    if let Some(s) = made("64M", "mkfs.ntfs", &["-q", "-F", "-L", "win"]) {
        assert_eq!(s.kind, Kind::Ntfs);
    }
    if let Some(s) = made("16M", "mkswap", &["-q"]) {
        assert_eq!(s.kind, Kind::Other("swap space"));
    }
    if let Some(s) = made("32M", "cryptsetup", &["luksFormat", "-q", "--key-file=/dev/zero", "-l8"])
    {
        assert_eq!(s.kind, Kind::Other("an encrypted drive (LUKS)"));
    }
    for label in ["dos", "gpt"] {
        let script = format!("printf 'label: {label}\\n,,L\\n' | sfdisk -q \"$0\"");
        if let Some(s) = made("16M", "sh", &["-c", &script]) {
            assert_eq!(s.kind, Kind::Partitioned, "{label}");
        }
    }
}

/// The marks of a pool that a formatting left where they were do not hide what was made since.
#[test]
fn a_file_system_is_known_over_what_a_pool_left() {
    let mut bytes = vec![0; SIZE];
    bytes[132 << 10..][..8].copy_from_slice(&0x00ba_b10cu64.to_le_bytes());
    bytes[3..11].copy_from_slice(b"EXFAT   ");
    assert_eq!(of(&bytes).kind, Kind::Exfat);
}

#[test]
fn how_full_a_file_system_is_and_its_sectors_are_read_as_its_own_tools_count() {
    // What each tool was told to make; an empty one uses next to nothing of its size.
    for (size, tool, args, unit) in [
        ("64M", "mke2fs", &["-q", "-t", "ext4", "-b", "1024"][..], 1024),
        ("64M", "mke2fs", &["-q", "-t", "ext4", "-b", "4096"], 4096),
        ("320M", "mkfs.xfs", &["-q", "-s", "size=512"], 512),
        ("320M", "mkfs.xfs", &["-q", "-s", "size=4096"], 4096),
        ("160M", "mkfs.btrfs", &["-q"], 4096),
        ("64M", "mkfs.vfat", &["-F", "32"], 512),
        ("512M", "mkfs.vfat", &["-F", "32", "-S", "4096"], 4096),
        ("64M", "mkfs.exfat", &[], 512),
        ("64M", "mkfs.ntfs", &["-q", "-F"], 512),
    ] {
        let Some(s) = made(size, tool, args) else { continue };
        assert_eq!(s.unit, Some(unit), "{tool} {args:?}");
        match (tool, s.used) {
            ("mkfs.ntfs", used) => assert_eq!(used, None),
            // Its journal is in use.
            ("mkfs.xfs", used) => assert!(used.unwrap() < Bytes(100 << 20), "{args:?} {used:?}"),
            (_, used) => assert!(used.unwrap() < Bytes(24 << 20), "{tool} {args:?} {used:?}"),
        }
    }
    // With files, against the count of another program.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("film"), vec![7; 20 << 20]).unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    if let Some(s) = made("64M", "mke2fs", &["-q", "-t", "ext4", "-O", "64bit", "-d", &path]) {
        assert!((Bytes(20 << 20)..Bytes(36 << 20)).contains(&s.used.unwrap()), "{s:?}");
    }
    let copy = format!("mkfs.vfat -F 32 \"$0\" >/dev/null && mcopy -i \"$0\" {path}/film ::");
    let tool = Command::new("mcopy").arg("-V").output();
    if tool.is_err() {
        eprintln!("SKIPPED: mcopy is not installed here");
    } else if let Some(s) = made("64M", "sh", &["-c", &copy]) {
        assert!((Bytes(20 << 20)..Bytes(21 << 20)).contains(&s.used.unwrap()), "{s:?}");
    }
}

const SIZE: usize = 2 << 20;

fn with(marks: &[(usize, &[u8])]) -> Kind {
    let mut bytes = vec![0; SIZE];
    for (at, mark) in marks {
        bytes[*at..at + mark.len()].copy_from_slice(mark);
    }
    of(&bytes).kind
}

#[test]
fn marks_without_a_tool_here_are_known_too() {
    let raid = 0xa92b_4efcu32.to_le_bytes();
    for (at, mark, kind) in [
        (3, &b"NTFS    "[..], Kind::Ntfs),
        (0, b"LUKS\xba\xbe\0\x02", Kind::Other("an encrypted drive (LUKS)")),
        (3, b"-FVE-FS-", Kind::Other("an encrypted drive (BitLocker)")),
        (4096, &raid, Kind::Member("a part of a RAID")),
        (SIZE - 0x1_0000, &raid, Kind::Member("a part of a RAID")),
        (SIZE - 8192, &raid, Kind::Member("a part of a RAID")),
        (SIZE - 1024, b"Intel Raid ISM Cfg Sig. 1.1", Kind::Member("a part of a RAID")),
        (SIZE - 512, &[0xde, 0x11, 0xde, 0x11], Kind::Member("a part of a RAID")),
        (132 << 10, &0x00ba_b10cu64.to_le_bytes(), Kind::Member("a part of a ZFS pool")),
        (400 << 10, &0x00ba_b10cu64.to_be_bytes(), Kind::Member("a part of a ZFS pool")),
        (3072, b"PRIVHEAD", Kind::Member("a part of a Windows dynamic volume")),
        (0x8001, b"BEA01", Kind::Other("UDF")),
        (3, b"ReFS\0", Kind::Other("ReFS")),
        (32, b"NXSB", Kind::Other("APFS")),
        (1024, b"H+", Kind::Other("HFS+")),
        (65526, b"SWAPSPACE2", Kind::Other("swap space")),
        (512, b"EFI PART", Kind::Partitioned),
        (SIZE - 512, b"EFI PART", Kind::Partitioned),
    ] {
        assert_eq!(with(&[(at, mark)]), kind, "{at} {mark:?}");
    }
    assert_eq!(
        with(&[(512, b"LABELONE"), (512 + 24, b"LVM2 001")]),
        Kind::Member("a part of an LVM volume")
    );
}

#[test]
fn blank_is_only_what_is_zero_in_every_usual_place() {
    assert_eq!(with(&[]), Kind::Blank);
    for at in [0, 77, 4095, 65_536, (1 << 20) - 1, SIZE - 1, SIZE - (1 << 20)] {
        assert_eq!(with(&[(at, b"x")]), Kind::Unknown, "{at}");
    }
    // Where ext4 keeps its first spare superblock on a large drive.
    let size = 200u64 << 20;
    let spare = |offset: u64, out: &mut [u8]| {
        out.fill(u8::from(offset == 128 << 20));
        Ok(())
    };
    assert_eq!(read(&spare, size).unwrap().kind, Kind::Unknown);
}

#[test]
fn two_marks_at_once_are_neither() {
    assert_eq!(with(&[(0, b"XFSB"), (512, b"EFI PART")]), Kind::Unknown);
    assert_eq!(with(&[(0, b"XFSB"), (64 * 1024 + 64, b"_BHRfS_M")]), Kind::Unknown);
}

#[test]
fn the_mark_of_a_drive_formatted_once_outlives_its_file_system() {
    let mut bytes = vec![0; SIZE];
    bytes[..MARK.len()].copy_from_slice(MARK);
    let signature = of(&bytes);
    assert!(signature.marked);
    assert_eq!(signature.kind, Kind::Unknown);
}

#[test]
fn a_drive_that_fails_is_an_error_and_not_blank() {
    let fail = |_: u64, _: &mut [u8]| Err(io::Error::from_raw_os_error(5));
    assert_eq!(read(&fail, 1 << 30).unwrap_err().raw_os_error(), Some(5));
}

#[test]
fn the_smallest_drives_are_read_without_panic() {
    for size in [0, 1, 511, 512, 1024, 4095, 4096, 5000, 65_536] {
        assert_eq!(of(&vec![0; size]).kind, Kind::Blank, "{size}");
    }
}

proptest! {
    /// Anything at all behind each magic: hostile superblocks never panic and never read outside.
    #[test]
    fn hostile_superblocks_are_survived(
        noise in proptest::collection::vec(any::<u8>(), 4096),
        which in 0usize..8,
        size in 0usize..300_000,
    ) {
        let magics: [(usize, &[u8]); 8] = [
            (1024 + 56, &[0x53, 0xef]), (65_536 + 64, b"_BHRfS_M"), (0, b"XFSB"), (3, b"EXFAT   "),
            (3, b"NTFS    "), (510, &[0x55, 0xaa]), (512, b"EFI PART"), (0, b"LUKS\xba\xbe"),
        ];
        let mut bytes: Vec<u8> = noise.iter().copied().cycle().take(size).collect();
        let (at, magic) = magics[which];
        if at + magic.len() <= size {
            bytes[at..at + magic.len()].copy_from_slice(magic);
        }
        let found = of(&bytes);
        prop_assert!(found.label.chars().all(|c| !c.is_control()));
        prop_assert!(size < 4096 || noise.iter().all(|b| *b == 0) || found.kind != Kind::Blank);
    }
}
