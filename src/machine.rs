//! Reads how the hardware fares: memory, load, temperature of the processor, and the disk below a folder.
//!
//! Each look opens three small files of the kernel, at most once a minute. All sensors are listed once only: of those
//! of a disk each reading is a command to that disk, which wakes one that sleeps.

use crate::model::Bytes;
use crate::status::machine::{Disk, DiskKind, Load, Machine, Memory};
use std::path::Path;
use std::time::{Duration, Instant};
use sysinfo::{Components, DiskRefreshKind, Disks, MemoryRefreshKind, System};

/// A reading is good for so long.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// How sensors of processors are called, the best first: those of a Raspberry Pi, Intel and AMD, then any. Sensors of
/// radio, disks and boards have other names.
const PROCESSORS: &[&str] = &[
    "cpu_thermal",
    "cpu-thermal",
    "coretemp Package",
    "k10temp",
    "cpu",
    "soc",
    "x86_pkg_temp",
    "coretemp",
];

/// Where the kernel tells of its thermal zones.
const ZONES: &str = "/sys/class/thermal";

/// This machine.
#[derive(Debug, Default)]
pub struct Hardware {
    system: Option<System>,
    /// All sensors, and which one is the processor's.
    sensors: Option<(Components, usize)>,
    /// The last reading, and when it was made.
    read: Option<(Instant, Machine)>,
}

impl Hardware {
    /// How it fares now, or did up to a minute ago.
    pub fn look(&mut self) -> Machine {
        if let Some((at, machine)) = &self.read
            && at.elapsed() < GOOD_FOR
        {
            return machine.clone();
        }
        if self.read.is_none() {
            self.system = System::new().ok();
            self.sensors = sensors();
        }
        let machine = Machine {
            memory: self.system.as_mut().and_then(memory),
            load: System::load_average().ok().and_then(|load| Load::new(load.one)),
            temperature: self.sensors.as_mut().and_then(|(sensors, chosen)| {
                let sensor = sensors.get_mut(*chosen)?;
                sensor.refresh();
                degrees(sensor.temperature()?)
            }),
            disk: None,
        };
        self.read = Some((Instant::now(), machine.clone()));
        machine
    }
}

fn memory(system: &mut System) -> Option<Memory> {
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let (used, total) = (Bytes(system.used_memory()), Bytes(system.total_memory()));
    // Without /proc all is zero.
    (total > Bytes(0) && used <= total).then_some(Memory { used, total })
}

fn sensors() -> Option<(Components, usize)> {
    let sensors = Components::new_with_refreshed_list().ok()?;
    let labels: Vec<String> =
        sensors.iter().map(|s| named(s.label(), s.id(), Path::new(ZONES))).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let chosen = processor(&labels)?;
    Some((sensors, chosen))
}

/// How a sensor is called. Of a kernel that tells temperatures only as thermal zones, as those of a Pi may, sysinfo gives
/// no label; the zone itself says what it is of.
fn named(label: &str, id: Option<&str>, zones: &Path) -> String {
    let zone = id.filter(|id| label.is_empty() && id.starts_with("thermal_zone"));
    let kind = zone.and_then(|id| std::fs::read_to_string(zones.join(id).join("type")).ok());
    kind.map_or_else(|| label.to_owned(), |kind| kind.trim().to_owned())
}

/// Which of these sensors is the processor's.
fn processor(labels: &[&str]) -> Option<usize> {
    PROCESSORS.iter().find_map(|name| labels.iter().position(|label| label.starts_with(name)))
}

/// Whole degrees; `None` for what no processor that still computes has.
fn degrees(celsius: f32) -> Option<i16> {
    (-50.0..=150.0).contains(&celsius).then(|| celsius.round() as i16)
}

/// The disk that a folder is on. Looks at every mount, so not to be asked all the time.
pub fn disk_of(folder: &Path) -> Option<Disk> {
    let folder = folder.canonicalize().ok()?;
    let kinds = DiskRefreshKind::nothing().with_kind();
    let disks = Disks::new_with_refreshed_list_specifics(kinds).ok()?;
    // Of two at one place the later one is seen.
    let below = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let disk = below.max_by_key(|disk| disk.mount_point().components().count())?;
    Some(Disk {
        device: disk.name().to_string_lossy().into_owned(),
        file_system: disk.file_system().to_string_lossy().into_owned(),
        kind: match disk.kind() {
            sysinfo::DiskKind::HDD => Some(DiskKind::Hdd),
            sysinfo::DiskKind::SSD => Some(DiskKind::Ssd),
            sysinfo::DiskKind::Unknown(_) => None,
        },
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // test files
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_read_and_at_most_once_a_minute() {
        let mut hardware = Hardware::default();
        let machine = hardware.look();
        let memory = machine.memory.unwrap();
        assert!(memory.total > Bytes(16_000_000) && memory.used <= memory.total, "{memory:?}");
        assert!(memory.used > Bytes(0), "{memory:?}");
        // The same by another way: sysinfo(2) counts in the same units.
        let told = rustix::system::sysinfo();
        let total = told.totalram as u64 * u64::from(told.mem_unit);
        assert!(memory.total.0.abs_diff(total) <= total / 100, "{memory:?}, {total}");
        assert!(machine.load.is_some());
        assert!(machine.temperature.is_none_or(|t| (-50..=150).contains(&t)));
        let at = hardware.read.as_ref().unwrap().0;
        assert_eq!(hardware.look(), machine);
        assert_eq!(hardware.read.as_ref().unwrap().0, at);
        let old = at.checked_sub(GOOD_FOR).unwrap();
        hardware.read.as_mut().unwrap().0 = old;
        hardware.look();
        assert!(hardware.read.as_ref().unwrap().0 >= at);
    }

    #[test]
    fn the_processors_sensor_is_found_among_others_and_no_other_is_taken_for_it() {
        assert_eq!(processor(&["nvme Composite", "cpu_thermal temp1", "rp1_adc temp1"]), Some(1));
        assert_eq!(processor(&["cpu-thermal"]), Some(0));
        assert_eq!(processor(&["acpitz", "x86_pkg_temp"]), Some(1));
        assert_eq!(processor(&["", "gpu-thermal", "soc-thermal"]), Some(2));
        assert_eq!(
            processor(&["coretemp Core 0", "acpitz temp1", "coretemp Package id 0"]),
            Some(2)
        );
        assert_eq!(processor(&["drivetemp temp1", "k10temp Tctl"]), Some(1));
        assert_eq!(processor(&["drivetemp temp1", "iwlwifi_1 temp1"]), None);
        assert_eq!(processor(&[]), None);
    }

    #[test]
    fn a_thermal_zone_says_itself_what_it_is_of() {
        let zones = tempfile::tempdir().unwrap();
        let zone = zones.path().join("thermal_zone0");
        std::fs::create_dir(&zone).unwrap();
        std::fs::write(zone.join("type"), "cpu-thermal\n").unwrap();
        let named = |label, id| named(label, id, zones.path());
        assert_eq!(named("", Some("thermal_zone0")), "cpu-thermal");
        assert_eq!(named("", Some("thermal_zone1")), "");
        assert_eq!(named("", None), "");
        assert_eq!(named("nvme Composite", Some("hwmon0_1")), "nvme Composite");
    }

    #[test]
    fn what_no_processor_has_is_no_temperature() {
        assert_eq!(degrees(51.4), Some(51));
        assert_eq!(degrees(-3.6), Some(-4));
        for odd in [f32::NAN, -273.0, 1_000.0, f32::INFINITY] {
            assert_eq!(degrees(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_disk_of_a_folder_is_the_one_that_is_mounted_there() {
        let Some(disk) = disk_of(Path::new("/")) else {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("SKIPPED: the root of this machine is on no disk that is told of");
            }
            return;
        };
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let line = format!("{} / {} ", disk.device, disk.file_system);
        assert!(mounts.lines().any(|mount| mount.starts_with(&line)), "{disk:?}");
        assert_eq!(disk_of(Path::new("/proc")).map(|disk| disk.device), Some(disk.device));
        assert_eq!(disk_of(Path::new("/no/such/folder")), None);
    }
}
