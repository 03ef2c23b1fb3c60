//! What is on a drive, by its own marks: in comes a way to read it, out comes a [`Signature`].
//!
//! Pure apart from the reading it is handed; it only ever reads. The drive may be hostile,
//! truncated or worn: anything may stand anywhere, and nothing here trusts a length or an offset
//! found on it. It errs on the side of "there is something": a drive counts as blank only when
//! every usual place is zero, and two marks at once count as neither.
//!
//! Offsets and magic values: the kernel's documentation of ext4 and its headers for btrfs, xfs and
//! md; Microsoft's exFAT and FAT papers; the UEFI specification for GPT; the LUKS on-disk papers.

use crate::model::Bytes;
use std::io;

/// Reads exactly the buffer's length at an offset.
pub type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> io::Result<()> + 'a;

/// What kind of content a drive or partition has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// ext2, ext3 or ext4: one driver serves them all.
    Ext,
    /// btrfs on this drive alone.
    Btrfs,
    /// XFS.
    Xfs,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// exFAT.
    Exfat,
    /// NTFS.
    Ntfs,
    /// A partition table: look at the partitions.
    Partitioned,
    /// Every usual place is zero.
    Blank,
    /// Something else, by its name: encrypted, a file system of another system.
    Other(&'static str),
    /// One of several drives that are read together, by its name: a RAID, a pool.
    Member(&'static str),
    /// Something that we have no name for, or two marks at once.
    Unknown,
}

impl Kind {
    /// Whether Larder can live on it: it has hard links and a check or a journal.
    pub const fn can_serve(self) -> bool {
        matches!(self, Self::Ext | Self::Btrfs | Self::Xfs)
    }

    /// Whether its files can be copied over by an import.
    pub const fn can_be_imported(self) -> bool {
        matches!(self, Self::Vfat | Self::Exfat | Self::Ntfs)
    }

    /// The name that mount(2) knows it by; `None` when it is not mounted.
    pub const fn driver(self) -> Option<&'static str> {
        match self {
            Self::Ext => Some("ext4"),
            Self::Btrfs => Some("btrfs"),
            Self::Xfs => Some("xfs"),
            Self::Vfat => Some("vfat"),
            Self::Exfat => Some("exfat"),
            Self::Ntfs => Some("ntfs3"),
            _ => None,
        }
    }

    /// The name that people know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext => "ext4",
            Self::Btrfs => "btrfs",
            Self::Xfs => "XFS",
            Self::Vfat => "FAT",
            Self::Exfat => "exFAT",
            Self::Ntfs => "NTFS",
            Self::Partitioned => "a partition table",
            Self::Blank => "nothing",
            Self::Other(name) | Self::Member(name) => name,
            Self::Unknown => "something unknown",
        }
    }
}

/// What the marks of a drive or partition say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// The kind of content.
    pub kind: Kind,
    /// The name given by whoever formatted it; empty when there is none.
    pub label: String,
    /// The file system's own number, as others write it; empty when there is none.
    pub uuid: String,
    /// Larder formatted this partition once, or one of this drive without partitions, whatever is left of it.
    pub marked: bool,
    /// How much is in use, by the file system's own count, which a pulled plug leaves a little behind.
    pub used: Option<Bytes>,
    /// The smallest sectors that its file system addresses: a disk that is shown with larger ones hides it.
    pub unit: Option<u32>,
}

impl Signature {
    /// Nothing but the kind.
    pub fn plain(kind: Kind) -> Self {
        let (label, uuid) = (String::new(), String::new());
        Self { kind, label, uuid, marked: false, used: None, unit: None }
    }
}

/// What stands in the first sector of a partition that Larder formatted. An ext4 leaves that
/// sector alone, so the mark outlives damage to the file system behind it.
pub const MARK: &[u8] = b"LARDER DRIVE: formatted once by the owner's wish";

const MIB: u64 = 1 << 20;

struct Reader<'a> {
    read: &'a ReadAt<'a>,
    size: u64,
}

impl Reader<'_> {
    /// The bytes there, or zeroes where the drive is shorter.
    fn bytes<const N: usize>(&self, offset: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        if offset.checked_add(N as u64).is_some_and(|end| end <= self.size) {
            (self.read)(offset, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// Whether `length` bytes (a multiple of 4 KiB) are zero, as far as the drive goes.
    fn is_zero(&self, offset: u64, length: u64) -> io::Result<bool> {
        for at in (offset..offset + length).step_by(4096) {
            let left = self.size.saturating_sub(at).min(4096);
            if left == 0 {
                break;
            }
            let mut block = vec![0; usize::try_from(left).unwrap_or(0)];
            (self.read)(at, &mut block)?;
            if block.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads the marks of a drive or partition of `size` bytes. Fails only when reading fails.
pub fn read(read: &ReadAt<'_>, size: u64) -> io::Result<Signature> {
    let r = Reader { read, size };
    let head = r.bytes::<4096>(0)?;
    let mut found: Vec<Signature> = Vec::new();
    for look in [ext, btrfs, xfs, exfat, ntfs, vfat] {
        found.extend(look(&r, &head)?);
    }
    let boots = found.iter().any(|s| s.kind.can_be_imported());
    found.extend(others(&r, &head, !found.is_empty())?.into_iter().map(plain));
    if partition_table(&r, &head, boots)? {
        found.push(plain(Kind::Partitioned));
    }
    let marked = head.starts_with(MARK);
    let mut signature = match (found.len(), found.pop()) {
        (1, Some(only)) => only,
        (0, _) if is_blank(&r)? => plain(Kind::Blank),
        _ => plain(Kind::Unknown),
    };
    signature.marked = marked;
    Ok(signature)
}

/// Whether a partition that Larder formatted begins at `start` of a drive of `size` bytes.
pub fn is_marked(read: &ReadAt<'_>, size: u64, start: u64) -> io::Result<bool> {
    const LENGTH: usize = MARK.len();
    Ok(Reader { read, size }.bytes::<LENGTH>(start)? == MARK)
}

fn plain(kind: Kind) -> Signature {
    Signature::plain(kind)
}

/// What is neither free nor more than there is; `None` when the counts make no sense.
fn in_use(all: u64, free: u64, unit: u64) -> Option<Bytes> {
    all.checked_sub(free)?.checked_mul(unit).map(Bytes)
}

fn ext(r: &Reader<'_>, _: &[u8; 4096]) -> io::Result<Option<Signature>> {
    let sb = r.bytes::<1024>(1024)?;
    if le16(&sb, 56) != 0xef53 || le32(&sb, 24) > 6 {
        return Ok(None);
    }
    // An external journal of another file system has the same magic.
    const JOURNAL_DEVICE: u32 = 0x8;
    if le32(&sb, 96) & JOURNAL_DEVICE != 0 {
        return Ok(Some(plain(Kind::Other("the journal of another drive"))));
    }
    let label = text(&sb[120..136]);
    let block = 1024 << le32(&sb, 24);
    // The upper halves count only with the feature "64bit".
    const WIDE: u32 = 0x80;
    let upper =
        |at: usize| if le32(&sb, 96) & WIDE == 0 { 0 } else { u64::from(le32(&sb, at)) << 32 };
    let all = u64::from(le32(&sb, 4)) | upper(336);
    let free = u64::from(le32(&sb, 12)) | upper(344);
    Ok(Some(Signature {
        label,
        uuid: uuid(&sb[104..120]),
        used: in_use(all, free, u64::from(block)),
        unit: Some(block),
        ..plain(Kind::Ext)
    }))
}

fn btrfs(r: &Reader<'_>, _: &[u8; 4096]) -> io::Result<Option<Signature>> {
    let sb = r.bytes::<1024>(64 * 1024)?;
    if sb[64..72] != *b"_BHRfS_M" {
        return Ok(None);
    }
    if le64(&sb, 136) != 1 {
        return Ok(Some(plain(Kind::Member("one of several drives of a btrfs"))));
    }
    let label = text(&sb[299..555]);
    Ok(Some(Signature {
        label,
        uuid: uuid(&sb[32..48]),
        used: Some(Bytes(le64(&sb, 120))),
        unit: Some(le32(&sb, 144)),
        ..plain(Kind::Btrfs)
    }))
}

fn xfs(_: &Reader<'_>, head: &[u8; 4096]) -> io::Result<Option<Signature>> {
    // Its numbers are big-endian.
    let wide = |at: usize| head[at..at + 8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let block = wide(4) >> 32;
    Ok(head.starts_with(b"XFSB").then(|| Signature {
        label: text(&head[108..120]),
        uuid: uuid(&head[32..48]),
        used: in_use(wide(8), wide(144), block),
        unit: Some(u32::from(u16::from_be_bytes([head[102], head[103]]))),
        ..plain(Kind::Xfs)
    }))
}

fn exfat(r: &Reader<'_>, head: &[u8; 4096]) -> io::Result<Option<Signature>> {
    if head[3..11] != *b"EXFAT   " {
        return Ok(None);
    }
    let (sector, cluster) = (u32::from(head[108]), u32::from(head[109]));
    let mut label = String::new();
    if (9..=12).contains(&sector) && cluster <= 25 - sector {
        let heap = u64::from(le32(head, 88)) << sector;
        let root = u64::from(le32(head, 96)).saturating_sub(2) << (sector + cluster);
        let entries = r.bytes::<512>(heap.saturating_add(root))?;
        // 0x83 is the entry of the volume's label: a count, then UTF-16.
        if let Some(entry) = entries.as_chunks::<32>().0.iter().find(|entry| entry[0] == 0x83) {
            let units =
                entry[2..24].as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
            let units: Vec<u16> = units.take(usize::from(entry[1].min(11))).collect();
            label = printable(&String::from_utf16_lossy(&units));
        }
    }
    // A percentage of the clusters; 255 is unknown.
    let clusters = u64::from(le32(head, 92));
    let percent = Some(u64::from(head[112])).filter(|percent| *percent <= 100);
    let used = percent.filter(|_| sector <= 12 && cluster <= 25 - sector.min(12));
    let used = used.map(|percent| Bytes((clusters << (sector + cluster)) / 100 * percent));
    let unit = (sector <= 12).then(|| 1 << sector);
    Ok(Some(Signature { label, uuid: serial(le32(head, 100)), used, unit, ..plain(Kind::Exfat) }))
}

fn ntfs(_: &Reader<'_>, head: &[u8; 4096]) -> io::Result<Option<Signature>> {
    let (number, unit) = (le64(head, 72), Some(u32::from(le16(head, 11))));
    Ok((head[3..11] == *b"NTFS    ").then(|| Signature {
        uuid: format!("{number:016X}"),
        unit,
        ..plain(Kind::Ntfs)
    }))
}

fn vfat(r: &Reader<'_>, head: &[u8; 4096]) -> io::Result<Option<Signature>> {
    let sector = le16(head, 11);
    let sane = head[510..512] == [0x55, 0xaa]
        && [512, 1024, 2048, 4096].contains(&sector)
        && head[13].is_power_of_two()
        && le16(head, 14) != 0
        && matches!(head[16], 1 | 2)
        && head[21] >= 0xf0;
    if !sane {
        return Ok(None);
    }
    let wide = le16(head, 22) == 0;
    let at = if wide { 64 } else { 36 };
    let (mut label, mut number) = (String::new(), String::new());
    // 0x29: an extended boot record follows with serial number and label.
    if head[at + 2] == 0x29 {
        number = serial(le32(head, at + 3));
        label = text(&head[at + 7..at + 18]);
    }
    if label == "NO NAME" {
        label.clear();
    }
    let used = if wide { fat32_used(r, head)? } else { None };
    let unit = Some(u32::from(sector));
    Ok(Some(Signature { label, uuid: number, used, unit, ..plain(Kind::Vfat) }))
}

/// What FAT32 counts as in use; `None` where nobody counted.
fn fat32_used(r: &Reader<'_>, head: &[u8; 4096]) -> io::Result<Option<Bytes>> {
    let sector = u64::from(le16(head, 11));
    let info = r.bytes::<512>(u64::from(le16(head, 48)) * sector)?;
    let free = le32(&info, 488);
    if le32(&info, 484) != 0x6141_7272 || free == u32::MAX {
        return Ok(None);
    }
    let tables = u64::from(head[16]) * u64::from(le32(head, 36)) + u64::from(le16(head, 14));
    let cluster = u64::from(head[13]);
    let all = u64::from(le32(head, 32)).saturating_sub(tables) / cluster;
    Ok(in_use(all, u64::from(free), cluster * sector))
}

/// Things that are known by name only. `known`: there is a file system already.
fn others(r: &Reader<'_>, head: &[u8; 4096], known: bool) -> io::Result<Vec<Kind>> {
    let mut names = Vec::new();
    let mut sets = sets(r, head, known)?;
    let swap = |bytes: [u8; 10]| bytes == *b"SWAPSPACE2" || bytes == *b"SWAP-SPACE";
    for page in [4096u64, 8192, 16_384, 32_768, 65_536] {
        if swap(r.bytes::<10>(page - 10)?) {
            names.push("swap space");
        }
    }
    if head.starts_with(b"LUKS\xba\xbe") || head.starts_with(b"SKUL\xba\xbe") {
        names.push("an encrypted drive (LUKS)");
    }
    if head[3..11] == *b"-FVE-FS-" {
        names.push("an encrypted drive (BitLocker)");
    }
    if matches!(&head[1024..1026], b"H+" | b"HX") {
        names.push("HFS+");
    }
    if head[3..7] == *b"ReFS" {
        names.push("ReFS");
    }
    if head[32..36] == *b"NXSB" {
        names.push("APFS");
    }
    if le32(head, 1024) == 0xf2f5_2010 {
        names.push("F2FS");
    }
    if head.starts_with(b"hsqs") {
        names.push("squashfs");
    }
    match &r.bytes::<5>(0x8001)? {
        b"CD001" => names.push("a CD image"),
        b"BEA01" => names.push("UDF"),
        _ => {}
    }
    if r.bytes::<8>(0x1_0034)?.starts_with(b"ReIsEr") {
        names.push("ReiserFS");
    }
    names.dedup();
    sets.extend(names.into_iter().map(Kind::Other));
    Ok(sets)
}

/// What is one of several drives that are read together. Marks that a formatting leaves where they were count only
/// where there is no file system.
fn sets(r: &Reader<'_>, head: &[u8; 4096], known: bool) -> io::Result<Vec<Kind>> {
    let mut names = Vec::new();
    for sector in 0..4 {
        let at = sector * 512;
        if head[at..at + 8] == *b"LABELONE" && head[at + 24..at + 32] == *b"LVM2 001" {
            names.push("a part of an LVM volume");
        }
    }
    const RAID: u32 = 0xa92b_4efc;
    let old = (r.size & !0xffff).saturating_sub(0x1_0000);
    let late = (r.size / 512).saturating_sub(16) & !7;
    let mut raid = false;
    for at in [0, 4096, old, late * 512] {
        raid |= le32(&r.bytes::<4>(at)?, 0) == RAID;
    }
    // What a computer's own RAID keeps in the last sectors: Intel's, and the common form (SNIA DDF).
    let last = (r.size & !511).saturating_sub(1024);
    raid |= !known && r.bytes::<24>(last)? == *b"Intel Raid ISM Cfg Sig. ";
    raid |= !known && r.bytes::<4>(last + 512)? == [0xde, 0x11, 0xde, 0x11];
    if raid {
        names.push("a part of a RAID");
    }
    if !known && is_zfs(r)? {
        names.push("a part of a ZFS pool");
    }
    // Windows' logical disk manager keeps its private header in the seventh sector.
    if head[3072..3080] == *b"PRIVHEAD" {
        names.push("a part of a Windows dynamic volume");
    }
    const BCACHE: [u8; 16] = *b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81";
    if r.bytes::<16>(4096 + 24)? == BCACHE {
        names.push("a part of a bcache");
    }
    if head.starts_with(b"bluestore block device") {
        names.push("a part of a Ceph cluster");
    }
    Ok(names.into_iter().map(Kind::Member).collect())
}

/// One of the first two labels of ZFS: a ring of uberblocks of at least 1 KiB in its second half (ZFS On-Disk
/// Specification, chapter 1), written by a machine of either byte order.
fn is_zfs(r: &Reader<'_>) -> io::Result<bool> {
    const UBERBLOCK: u64 = 0x00ba_b10c;
    const LABEL: u64 = 256 << 10;
    for ring in [LABEL / 2, LABEL + LABEL / 2] {
        for slot in 0..128 {
            let magic = u64::from_le_bytes(r.bytes::<8>(ring + slot * 1024)?);
            if magic == UBERBLOCK || magic.swap_bytes() == UBERBLOCK {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn partition_table(r: &Reader<'_>, head: &[u8; 4096], boots: bool) -> io::Result<bool> {
    // The first copy of a GPT, or the last sector's, which a broken first copy is mended from.
    let last = |sector: u64| r.bytes::<8>((r.size / sector * sector).saturating_sub(sector));
    let gpt = head[512..520] == *b"EFI PART"
        || r.bytes::<8>(4096)? == *b"EFI PART"
        || last(512)? == *b"EFI PART"
        || last(4096)? == *b"EFI PART";
    let entry =
        |at: usize| matches!(head[at], 0 | 0x80) && head[at + 4] != 0 && le32(head, at + 12) != 0;
    let mbr =
        !boots && head[510..512] == [0x55, 0xaa] && [446, 462, 478, 494].into_iter().any(entry);
    Ok(gpt || mbr)
}

/// Zero at the start, at the end, and where file systems keep spare copies of themselves.
fn is_blank(r: &Reader<'_>) -> io::Result<bool> {
    const SPARES: [u64; 5] = [8 * MIB, 64 * MIB, 128 * MIB, 256 << 30, 1 << 30];
    if !r.is_zero(0, MIB)? || !r.is_zero((r.size.saturating_sub(MIB)) & !4095, MIB + 4096)? {
        return Ok(false);
    }
    for spare in SPARES {
        if spare < r.size && !r.is_zero(spare, 64 * 1024)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

/// Text up to the first zero, without what could disturb a line.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    printable(&String::from_utf8_lossy(&bytes[..end]))
}

fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { '\u{25af}' } else { c }).collect()
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match (hex.get(..8), hex.get(8..12), hex.get(12..16), hex.get(16..20), hex.get(20..)) {
        (Some(a), Some(b), Some(c), Some(d), Some(e)) => format!("{a}-{b}-{c}-{d}-{e}"),
        _ => hex,
    }
}

fn serial(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}

#[cfg(test)]
mod tests;
