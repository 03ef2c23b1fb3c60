//! Which disks are plugged in, from sysfs, and what is on them.
//!
//! In comes the kernel's `/sys/block`, out come [`Disk`]s. Looked at every half second rather than
//! by uevents: a look costs a few system calls, has no queue that overflows or socket that must be
//! restarted, finds what was there before we came, and half a second is well within the two that
//! a pulled drive leaves us. The kernel's `diskseq` tells a drive that was pulled and plugged
//! between two looks. Only USB disks are seen: never the SD card. It only reads.

use super::signature::{self, Kind};
use super::table::{self, Role};
use super::{Disk, Inside, LABEL, Volume, gpt, mounting};
use crate::model::Bytes;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the kernel shows its devices.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
    /// Also disks that are not on USB: for tests with loop devices below a `/sys` of their own.
    pub any_bus: bool,
    /// The largest drive or partition that the kernel can reach.
    pub reach: Bytes,
}

impl Default for Roots {
    fn default() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into(), any_bus: false, reach: reach() }
    }
}

/// A kernel of 32 bits counts a drive's pages of 4 KiB in 32 bits, the last of which it keeps for itself. The kernel
/// counts, not the program: a Pi 4 runs programs of 32 bits on one of 64.
fn reach() -> Bytes {
    let machine = rustix::system::uname().machine().to_bytes().to_vec();
    // An ARMv8 processor shows itself to programs of 32 bits so, and only a kernel of 64 bits calls it that.
    let wide = machine.windows(2).any(|two| two == b"64") || machine.starts_with(b"armv8");
    Bytes(if wide { u64::MAX } else { u64::from(u32::MAX) << 12 })
}

/// A disk as a short look sees it. Equal to an earlier look when nothing was plugged or pulled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Present {
    /// The kernel's name.
    pub name: String,
    /// Counts every disk that ever appeared; 0 where the kernel does not say.
    pub sequence: u64,
    /// Its size.
    pub size: Bytes,
    /// It refuses writing.
    pub read_only: bool,
    /// Its partitions with their sizes.
    pub partitions: Vec<(String, Bytes)>,
}

/// The disks that are plugged in, by name. What vanishes while we look is left out.
pub fn present(roots: &Roots) -> io::Result<Vec<Present>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(roots.sys.join("block"))? {
        let entry = entry?;
        let Ok(path) = fs::canonicalize(entry.path()) else { continue };
        if roots.any_bus || on_usb(&path) {
            found.extend(look(&path, &entry.file_name().to_string_lossy()));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn look(path: &Path, name: &str) -> Option<Present> {
    let size = sectors(path)?;
    // A card reader without a card has size 0.
    if size == Bytes(0) {
        return None;
    }
    let mut partitions = Vec::new();
    for entry in fs::read_dir(path).ok()?.flatten() {
        let part = entry.path();
        if part.join("partition").exists() {
            let size = sectors(&part)?;
            partitions.push((entry.file_name().to_string_lossy().into_owned(), size));
        }
    }
    partitions.sort();
    Some(Present {
        name: name.to_owned(),
        sequence: number(&path.join("diskseq")).unwrap_or(0),
        size,
        read_only: number(&path.join("ro")).unwrap_or(0) != 0,
        partitions,
    })
}

fn on_usb(path: &Path) -> bool {
    path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.strip_prefix("usb").is_some_and(|bus| bus.parse::<u32>().is_ok())
    })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Bytes of a sector of the disk `name`.
pub fn sector(roots: &Roots, name: &str) -> u64 {
    let path = roots.sys.join("block").join(name).join("queue/logical_block_size");
    number(&path).unwrap_or(512)
}

fn sectors(path: &Path) -> Option<Bytes> {
    number(&path.join("size")).map(|sectors| Bytes(sectors.saturating_mul(512)))
}

/// Reads a disk's marks and, where they can be Larder's, looks inside: mounted read-only, without
/// replaying a journal, at the directory `peek`.
pub fn probe(roots: &Roots, present: &Present, peek: &Path) -> Disk {
    let path = roots.sys.join("block").join(&present.name);
    let model = model(&path);
    let mut disk = Disk {
        name: present.name.clone(),
        sequence: present.sequence,
        identity: identity(&path, &model, present.size),
        model,
        size: present.size,
        read_only: present.read_only,
        volumes: Vec::new(),
        failed: None,
        formatted_for: None,
        reach: roots.reach,
    };
    let shown = sector(roots, &present.name);
    let mut parts = present.partitions.iter().map(|(_, size)| *size);
    if parts.any(|size| size > roots.reach)
        || present.partitions.is_empty() && present.size > roots.reach
    {
        // Reading beyond the reach fails like a broken drive, and so does mounting.
        return disk;
    }
    let roles = match read_table(roots, present, shown) {
        Ok((formatted_for, roles)) => {
            disk.formatted_for = formatted_for;
            roles
        }
        // Its partitions tell whether it can be used; an unreadable end is no reason against them.
        Err(why) => {
            log::warn!("the partition table of {} can't be read: {why}", present.name);
            Vec::new()
        }
    };
    let whole = [(present.name.clone(), present.size)];
    let nodes = if present.partitions.is_empty() { &whole[..] } else { &present.partitions };
    for (node, size) in nodes {
        match volume(&roots.dev.join(node), node, *size, shown, peek) {
            Ok(mut volume) => {
                let start = number(&path.join(node).join("start")).map(|start| start * 512);
                let role = roles.iter().find(|(at, _)| Some(*at) == start);
                volume.role = role.map_or(Role::Files, |(_, role)| *role);
                disk.volumes.push(volume);
            }
            Err(why) => {
                disk.volumes.clear();
                disk.failed = Some(why.to_string());
                break;
            }
        }
    }
    // File systems of smaller sectors than the disk is shown with can't be mounted here. One that can be tells that the
    // others are odd by themselves.
    let units = || disk.volumes.iter().filter_map(|v| v.signature.unit).filter(|u| *u >= 512);
    if units().next().is_some() && units().all(|unit| u64::from(unit) < shown) {
        disk.formatted_for = Some(512);
    }
    if let Err(why) = look_behind_a_lost_table(roots, present, &mut disk) {
        disk.volumes.clear();
        disk.failed = Some(why.to_string());
    }
    disk
}

/// What the table says: the sectors that it was written for, when they are not those shown, and what the partitions
/// are for.
#[expect(clippy::type_complexity, reason = "named at its only use")]
fn read_table(
    roots: &Roots,
    present: &Present,
    shown: u64,
) -> io::Result<(Option<u64>, Vec<(u64, Role)>)> {
    let file = File::open(roots.dev.join(&present.name))?;
    let read = |offset: u64, out: &mut [u8]| file.read_exact_at(out, offset);
    let size = present.size.0;
    // A kernel that can't reach the whole disk reads its beginning well, and zeroes instead of the rest.
    let read = |at: u64, out: &mut [u8]| {
        let end = at.saturating_add(out.len() as u64);
        if end > roots.reach.0 {
            out.fill(0);
            return Ok(());
        }
        read(at, out)
    };
    Ok((table::formatted_for(&read, size, shown)?, table::roles(&read, size, shown)?))
}

/// Without a partition table, or when this enclosure's sectors hide it, the mark in the partition that Larder
/// made still stands where it began. A file system of the whole drive came after it.
fn look_behind_a_lost_table(roots: &Roots, present: &Present, disk: &mut Disk) -> io::Result<()> {
    if let [whole] = &mut disk.volumes[..]
        && present.partitions.is_empty()
        && matches!(whole.signature.kind, Kind::Blank | Kind::Unknown | Kind::Partitioned)
    {
        let file = File::open(roots.dev.join(&whole.node))?;
        let read = |offset: u64, out: &mut [u8]| file.read_exact_at(out, offset);
        whole.signature.marked |= signature::is_marked(&read, whole.size.0, gpt::ALIGN)?;
    }
    Ok(())
}

/// Reads the marks of one partition again: is it still what it was?
pub fn signature_of(device: &Path, size: Bytes) -> io::Result<signature::Signature> {
    let file = File::open(device)?;
    signature::read(&|offset, out| file.read_exact_at(out, offset), size.0)
}

fn volume(device: &Path, node: &str, size: Bytes, shown: u64, peek: &Path) -> io::Result<Volume> {
    let signature = signature_of(device, size)?;
    let fits = signature.unit.is_none_or(|unit| u64::from(unit) >= shown);
    let inside: Option<Inside> = (signature.kind.can_serve() && signature.label != LABEL && fits)
        .then(|| mounting::peek(device, signature.kind, peek));
    Ok(Volume { node: node.to_owned(), size, signature, role: Role::Files, inside })
}

fn model(path: &Path) -> String {
    let read =
        |name: &str| tidy(&fs::read_to_string(path.join("device").join(name)).unwrap_or_default());
    format!("{} {}", read("vendor"), read("model")).trim().to_owned()
}

/// The serial number of the USB device that the disk is on; else model and size, which is the
/// best that tells a nameless drive from another.
fn identity(path: &Path, model: &str, size: Bytes) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let serial = real.ancestors().find(|dir| dir.join("idVendor").exists()).and_then(|usb| {
        let serial = tidy(&fs::read_to_string(usb.join("serial")).ok()?).replace(' ', "");
        serial.bytes().any(|byte| byte != b'0').then_some(serial)
    });
    serial.unwrap_or_else(|| {
        let model = if model.is_empty() { "drive" } else { model };
        format!("{}-{}", model.replace(' ', "-"), size.0)
    })
}

/// A maker's text: printable ASCII without what would need escaping in the settings.
fn tidy(text: &str) -> String {
    let fits = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '\'') || *c == ' ';
    text.chars().filter(fits).collect::<String>().trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a made-up /sys is plain files
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A made-up `/sys` with a USB stick, an SD card and an empty card reader.
    fn sys() -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let put = |path: &Path, files: &[(&str, &str)]| {
            fs::create_dir_all(path).unwrap();
            for (name, text) in files {
                fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
                fs::write(path.join(name), text).unwrap();
            }
        };
        let usb = root.join("devices/soc/3f980000.usb/usb1/1-1/1-1.2");
        put(&usb, &[("idVendor", "0781\n"), ("serial", "4C53 0001\"\n")]);
        let disk = usb.join("1-1.2:1.0/host0/target0:0:0/0:0:0:0/block/sda");
        put(
            &disk,
            &[
                ("size", "131072\n"),
                ("ro", "1\n"),
                ("diskseq", "7\n"),
                ("device/vendor", "SanDisk \n"),
                ("device/model", "Ultra   \n"),
                ("sda1/partition", "1\n"),
                ("sda1/size", "2048\n"),
                ("queue/x", ""),
            ],
        );
        let empty = usb.join("block/sdb");
        put(&empty, &[("size", "0\n")]);
        let card = root.join("devices/soc/3f300000.mmc/block/mmcblk0");
        put(&card, &[("size", "131072\n")]);
        fs::create_dir(root.join("block")).unwrap();
        for (name, target) in [("sda", disk), ("sdb", empty), ("mmcblk0", card)] {
            symlink(target, root.join("block").join(name)).unwrap();
        }
        let roots = Roots { sys: root.clone(), dev: root.join("dev"), ..Roots::default() };
        fs::create_dir(&roots.dev).unwrap();
        (dir, roots)
    }

    #[test]
    fn usb_disks_are_seen_and_the_card_and_empty_readers_are_not() {
        let (_dir, roots) = sys();
        let seen = present(&roots).unwrap();
        assert_eq!(
            seen,
            [Present {
                name: "sda".into(),
                sequence: 7,
                size: Bytes(131_072 * 512),
                read_only: true,
                partitions: vec![("sda1".into(), Bytes(2048 * 512))],
            }]
        );
    }

    #[test]
    fn a_disk_is_probed_with_its_serial_model_and_partitions() {
        let (dir, roots) = sys();
        fs::write(roots.dev.join("sda1"), vec![0; 2048 * 512]).unwrap();
        let seen = present(&roots).unwrap();
        let disk = probe(&roots, &seen[0], dir.path());
        assert_eq!((&*disk.identity, &*disk.model), ("4C530001", "SanDisk Ultra"));
        assert_eq!(disk.volumes[0].signature.kind, Kind::Blank);
        assert_eq!(disk.failed, None);
    }

    #[test]
    fn a_partition_that_larder_made_is_known_without_its_table() {
        let (dir, roots) = sys();
        let sda = fs::canonicalize(roots.sys.join("block/sda")).unwrap();
        fs::remove_dir_all(sda.join("sda1")).unwrap();
        let file = File::create(roots.dev.join("sda")).unwrap();
        file.set_len(131_072 * 512).unwrap();
        let marked = || {
            let disk = probe(&roots, &present(&roots).unwrap()[0], dir.path());
            assert_eq!(disk.failed, None);
            disk.volumes[0].signature.marked
        };
        assert!(!marked());
        file.write_all_at(signature::MARK, 1 << 20).unwrap();
        assert!(marked());
        file.write_all_at(b"EFI PART", 512).unwrap();
        assert!(marked(), "a table for sectors of another size");
        // Somebody made a file system of the whole drive since.
        file.write_all_at(&[0; 512], 512).unwrap();
        file.write_all_at(b"EXFAT   ", 3).unwrap();
        assert!(!marked());
    }

    #[test]
    fn a_sound_drive_in_another_enclosure_is_known_by_its_table_and_by_its_file_system() {
        let (dir, roots) = sys();
        let sda = fs::canonicalize(roots.sys.join("block/sda")).unwrap();
        fs::remove_dir_all(sda.join("sda1")).unwrap();
        let asked = |shown: &str| {
            fs::write(sda.join("queue/logical_block_size"), shown).unwrap();
            let disk = probe(&roots, &present(&roots).unwrap()[0], dir.path());
            assert_eq!(disk.failed, None);
            disk.formatted_for
        };
        let size = 131_072 * 512;
        let new = || {
            let file = File::create(roots.dev.join("sda")).unwrap();
            file.set_len(size).unwrap();
            file
        };
        for (made_for, shown) in [(4096, "512"), (512, "4096")] {
            let file = new();
            for (at, bytes) in gpt::table(size, made_for, [7; 16], [9; 16]).unwrap() {
                file.write_all_at(&bytes, at).unwrap();
            }
            assert_eq!(asked(shown), Some(made_for));
            assert_eq!(asked(&made_for.to_string()), None);
        }
        // FAT with sectors of 512 bytes over the whole drive.
        let file = new();
        let (mut head, jump) = ([0; 512], [0xeb, 0x3c, 0x90]);
        head[..3].copy_from_slice(&jump);
        head[11..17].copy_from_slice(&[0, 2, 4, 1, 0, 2]);
        (head[21], head[510], head[511]) = (0xf8, 0x55, 0xaa);
        file.write_all_at(&head, 0).unwrap();
        assert_eq!(asked("512"), None);
        assert_eq!(asked("4096"), Some(512));
    }

    #[test]
    fn a_drive_beyond_the_kernels_reach_is_not_called_broken() {
        let (dir, mut roots) = sys();
        let sda = fs::canonicalize(roots.sys.join("block/sda")).unwrap();
        File::create(roots.dev.join("sda")).unwrap().set_len(1 << 20).unwrap();
        // 18 TB, of which only the beginning can be read.
        fs::write(sda.join("size"), format!("{}\n", 18_000_000_000_000u64 / 512)).unwrap();
        fs::write(sda.join("sda1/size"), format!("{}\n", 17_999_000_000_000u64 / 512)).unwrap();
        roots.reach = Bytes(u64::from(u32::MAX) << 12);
        let disk = probe(&roots, &present(&roots).unwrap()[0], dir.path());
        assert_eq!((disk.failed.as_deref(), &disk.volumes[..]), (None, &[][..]));
        assert!(disk.size > disk.reach);
        let told = crate::drive::decide::decide(&[disk], &crate::config::Drive::default(), None);
        assert!(told.advice[0].what.contains("32 bits"), "{told:?}");
        assert!(told.advice[0].next.contains("Pi 4"), "{told:?}");
    }

    #[test]
    fn a_partition_that_starts_a_computer_is_told_from_others_by_the_table() {
        let (dir, roots) = sys();
        let sda = fs::canonicalize(roots.sys.join("block/sda")).unwrap();
        fs::write(sda.join("sda1/start"), "2048\n").unwrap();
        fs::write(roots.dev.join("sda1"), vec![0; 2048 * 512]).unwrap();
        let size = 131_072 * 512;
        let file = File::create(roots.dev.join("sda")).unwrap();
        file.set_len(size).unwrap();
        let role = || probe(&roots, &present(&roots).unwrap()[0], dir.path()).volumes[0].role;
        assert_eq!(role(), Role::Files, "no table");
        let mut head = [0; 512];
        (head[450], head[455], head[459], head[510], head[511]) = (0xef, 8, 8, 0x55, 0xaa);
        file.write_all_at(&head, 0).unwrap();
        assert_eq!(role(), Role::Efi);
        fs::write(sda.join("sda1/start"), "4096\n").unwrap();
        assert_eq!(role(), Role::Files, "another partition");
    }

    #[test]
    fn a_disk_that_can_not_be_read_is_told_as_failed() {
        let (dir, roots) = sys();
        let seen = present(&roots).unwrap();
        let disk = probe(&roots, &seen[0], dir.path());
        assert!(disk.failed.is_some() && disk.volumes.is_empty());
    }

    #[test]
    fn a_nameless_drive_is_told_by_model_and_size() {
        let (_dir, roots) = sys();
        let serial = roots.sys.join("devices/soc/3f980000.usb/usb1/1-1/1-1.2/serial");
        fs::write(serial, "00000000\n").unwrap();
        let disk = roots.sys.join("block/sda");
        assert_eq!(identity(&disk, "SanDisk Ultra", Bytes(5)), "SanDisk-Ultra-5");
    }
}
