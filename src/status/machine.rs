//! The hardware of the NAS as plain values: memory, load, temperature, disk. Pure; `machine` reads them.
//!
//! They change all the time and are no news: a report or a page that differs in nothing else says the same.

use crate::model::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// How the hardware fares. What could not be read is `None`, and nothing is said of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Its memory.
    pub memory: Option<Memory>,
    /// Load average of the last minute.
    pub load: Option<Load>,
    /// Temperature of the processor, in °C.
    pub temperature: Option<i16>,
    /// The disk that the drive is on. It is looked at only where it is told.
    pub disk: Option<Disk>,
}

/// Main memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// What programs can't have any more: caches don't count.
    pub used: Bytes,
    /// All of it.
    pub total: Bytes,
}

/// A load average, in hundredths; in JSON it is a number such as 0.31.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load(pub u32);

/// A disk, as the kernel calls it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disk {
    /// Its device, such as `/dev/sda1`.
    pub device: String,
    /// The file system on it.
    pub file_system: String,
    /// Whether it turns, where that is known.
    pub kind: Option<DiskKind>,
}

/// How a disk stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DiskKind {
    /// On platters that turn.
    Hdd,
    /// In flash memory, a stick or card too.
    Ssd,
}

impl Load {
    /// `None` for what is no load.
    pub fn new(load: f64) -> Option<Self> {
        // In this range the cast loses nothing but digits behind the hundredths.
        (0.0..10_000.0).contains(&load).then(|| Self((load * 100.0).round() as u32))
    }
}

impl fmt::Display for Load {
    /// Coarse, to one digit: `0.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", f64::from(self.0) / 100.0)
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(f64::from(self.0) / 100.0)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let load = f64::deserialize(from)?;
        Self::new(load).ok_or_else(|| serde::de::Error::custom(format!("{load} is no load")))
    }
}

impl fmt::Display for Machine {
    /// `Memory 210 MB of 970 MB, load 0.3, 51 °C`; empty when nothing is known. The disk is told apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory.map(|m| format!("memory {} of {}", m.used, m.total));
        let load = self.load.map(|load| format!("load {load}"));
        let temperature = self.temperature.map(|degrees| format!("{degrees} °C"));
        let parts: Vec<String> = [memory, load, temperature].into_iter().flatten().collect();
        let line = parts.join(", ");
        let mut letters = line.chars();
        match letters.next() {
            Some(first) => write!(f, "{}{}", first.to_uppercase(), letters.as_str()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Disk {
    /// `/dev/sda1 (ext4, SSD)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Some(DiskKind::Hdd) => ", HDD",
            Some(DiskKind::Ssd) => ", SSD",
            None => "",
        };
        write!(f, "{} ({}{kind})", self.device, self.file_system)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pi() -> Machine {
        Machine {
            memory: Some(Memory { used: Bytes(210_400_000), total: Bytes(969_932_800) }),
            load: Some(Load(31)),
            temperature: Some(51),
            disk: None,
        }
    }

    #[test]
    fn it_is_told_in_one_line_and_nothing_is_said_of_what_is_not_known() {
        assert_eq!(pi().to_string(), "Memory 210 MB of 970 MB, load 0.3, 51 °C");
        let cold = Machine { temperature: None, ..pi() };
        assert_eq!(cold.to_string(), "Memory 210 MB of 970 MB, load 0.3");
        let loaded = Machine { memory: None, load: Load::new(12.345), ..cold };
        assert_eq!(loaded.to_string(), "Load 12.3");
        let frozen = Machine { temperature: Some(-4), ..Machine::default() };
        assert_eq!(frozen.to_string(), "-4 °C");
        assert_eq!(Machine::default().to_string(), "");
    }

    #[test]
    fn a_disk_is_told_with_its_kind_where_that_is_known() {
        let disk = |kind| Disk { device: "/dev/sda1".into(), file_system: "ext4".into(), kind };
        assert_eq!(disk(Some(DiskKind::Ssd)).to_string(), "/dev/sda1 (ext4, SSD)");
        assert_eq!(disk(Some(DiskKind::Hdd)).to_string(), "/dev/sda1 (ext4, HDD)");
        assert_eq!(disk(None).to_string(), "/dev/sda1 (ext4)");
    }

    #[test]
    fn only_a_plausible_load_is_one() {
        assert_eq!(Load::new(0.004), Some(Load(0)));
        assert_eq!(Load::new(0.315), Some(Load(32)));
        for odd in [-0.1, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(Load::new(odd), None, "{odd}");
        }
    }

    #[test]
    fn in_json_the_values_are_numbers_and_come_back() {
        let disk = Disk {
            device: "/dev/sda1".into(),
            file_system: "btrfs".into(),
            kind: Some(DiskKind::Hdd),
        };
        let machine = Machine { disk: Some(disk), ..pi() };
        let json = serde_json::to_value(&machine).unwrap();
        let expected = serde_json::json!({
            "memory": {"used": 210_400_000, "total": 969_932_800}, "load": 0.31, "temperature": 51,
            "disk": {"device": "/dev/sda1", "file_system": "btrfs", "kind": "HDD"},
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Machine>(json).unwrap(), machine);
        assert_eq!(serde_json::from_str::<Machine>("{}").unwrap(), Machine::default());
        assert!(serde_json::from_str::<Machine>("{\"load\": -1}").is_err());
    }
}
