//! Who belongs to the house: devices that ask are let in, turned away or forgotten on the common
//! page. Pure.
//!
//! What was decided there is remembered beside the settings and fills what they leave open
//! ([`in_force`]): the id of a device that has none there, and devices that are not in them at all.
//! What the settings say wins.

use super::wish::{Asked, Attempt, Planned};
use super::{Fact, Op};
use crate::config::{Config, Device, device_id, device_name};
use crate::model::{Action, DeviceName, Holder, Time};
use std::collections::BTreeMap;

/// A device that was let in on the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The sync engine's id of it.
    pub id: String,
    /// Since when.
    pub at: Time,
    /// The settings have a section for it, without an id: when that goes, the device goes.
    pub section: bool,
}

/// A device that asks to be let in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asking {
    /// The sync engine's id of it.
    pub id: String,
    /// What it calls itself: never to be trusted.
    pub name: String,
    /// From where it asks.
    pub address: String,
    /// Since when.
    pub since: Option<Time>,
}

/// The settings with what was decided on the page: what everybody goes by.
pub fn in_force(settings: &Config, pairs: &BTreeMap<DeviceName, Pair>) -> Config {
    let mut config = settings.clone();
    for (name, pair) in pairs {
        if is_superseded(settings, name, pair) {
            continue;
        }
        match config.devices.get_mut(name) {
            Some(device) => device.id = Some(pair.id.clone()),
            None if twin(settings, name).is_none() => {
                let device = Device { id: Some(pair.id.clone()), ..Device::named(name.as_str()) };
                config.devices.insert(name.clone(), device);
            }
            None => {}
        }
    }
    config
}

/// True when the settings have an id for the device by now, or have that id under whatever name.
fn is_superseded(settings: &Config, name: &DeviceName, pair: &Pair) -> bool {
    settings.devices.get(name).is_some_and(|d| d.id.is_some())
        || settings.devices.values().any(|d| d.id.as_ref() == Some(&pair.id))
}

/// What becomes of a device that was let in on the page, by settings that are known to be good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The settings know its id now: what was decided on the page is over and never comes back.
    Written,
    /// Its section was taken out of the settings: it is forgotten.
    Removed,
    /// It has a section now.
    Section(Pair),
}

/// What good settings make of who was let in on the page; who is not named stays as he is.
pub fn fates(settings: &Config, pairs: &BTreeMap<DeviceName, Pair>) -> Vec<(DeviceName, Fate)> {
    let fate = |(name, pair): (&DeviceName, &Pair)| {
        let there = settings.devices.contains_key(name);
        let fate = match (there, pair.section) {
            _ if is_superseded(settings, name, pair) => Fate::Written,
            (false, true) => Fate::Removed,
            (true, false) => Fate::Section(Pair { section: true, ..pair.clone() }),
            _ => return None,
        };
        Some((name.clone(), fate))
    };
    pairs.iter().filter_map(fate).collect()
}

/// A device whose name differs only in case: some drives can't tell the two apart.
fn twin<'c>(config: &'c Config, name: &DeviceName) -> Option<&'c DeviceName> {
    let alike = |d: &&DeviceName| *d != name && d.as_str().eq_ignore_ascii_case(name.as_str());
    config.devices.keys().find(alike)
}

impl Asked<'_> {
    /// A wish of the common page about who belongs to the house.
    pub(super) fn pairing(&self) -> Planned {
        match (self.wish.action, &self.wish.to[..]) {
            (Action::Accept, [name]) => self.accept(name),
            (Action::Refuse, _) => self.refuse(),
            (Action::Forget, [name]) => self.forget(name),
            _ => Planned::refused("say which device is meant"),
        }
    }

    fn id(&self) -> Result<String, Planned> {
        let text = self.wish.with.as_deref().unwrap_or_default();
        device_id(text).map_err(|why| {
            Planned::refused(format!("the id {why}; open the newest page and press it again"))
        })
    }

    fn accept(&self, name: &Holder) -> Planned {
        let id = match self.id() {
            Ok(id) => id,
            Err(refused) => return refused,
        };
        let done = |ops| {
            let had = self.replica(name).map_or(0, |h| h.links.len());
            let more = match (self.config.device(name).is_some(), had) {
                (false, 1..) => format!("; it gets the {had} files that {name} had before"),
                _ => String::new(),
            };
            let what = format!("{name} is let in: take the two folders that it is offered{more}");
            Planned::done(ops, what)
        };
        let has_it = |d: &Device| d.id.as_ref() == Some(&id);
        if let Some((holder, device)) = self.config.devices.iter().find(|(_, d)| has_it(d)) {
            return match name.device() == Some(holder) {
                true => done(Vec::new()),
                false => Planned::refused(format!(
                    "that device is let in already, as {}; forget it first",
                    device.label
                )),
            };
        }
        // What stands in the settings was checked there.
        let device = match name.device().filter(|_| self.config.device(name).is_some()) {
            Some(device) => device.clone(),
            None => match device_name(&name.encode()) {
                Ok(device) => device,
                Err(why) => return Planned::refused(why),
            },
        };
        match self.config.devices.get(&device) {
            Some(device) if device.id.is_some() => {
                return Planned::refused(format!(
                    "{} is another device already; forget that first, or choose another name",
                    device.label
                ));
            }
            Some(_) => {}
            None => {
                if let Some(other) = twin(self.config, &device) {
                    return Planned::refused(format!(
                        "{name} and {other} differ only in case; choose another name"
                    ));
                }
            }
        }
        let section = self.config.devices.contains_key(&device);
        let pair = Pair { id: id.clone(), at: self.now, section };
        let mut ops = vec![Op::Note(Fact::Paired(device, pair))];
        if self.world.turned_away.contains_key(&id) {
            ops.push(Op::Note(Fact::NotTurnedAway(id)));
        }
        done(ops)
    }

    fn refuse(&self) -> Planned {
        let id = match self.id() {
            Ok(id) => id,
            Err(refused) => return refused,
        };
        if let Some(device) = self.config.devices.values().find(|d| d.id.as_ref() == Some(&id)) {
            return Planned::refused(format!("{} is let in already; forget it", device.label));
        }
        let what = "it was turned away; should it ask again, it stands under the devices only";
        Planned::done(vec![Op::Note(Fact::TurnedAway(id, self.now))], what)
    }

    fn forget(&self, name: &Holder) -> Planned {
        let in_settings = || {
            format!(
                "the id of {name} stands in larder.toml; take [devices.{name}], or its line `id`, \
                 out there"
            )
        };
        let known = self.config.device(name).and_then(|d| d.id.as_ref());
        let pair = name.device().and_then(|device| self.world.pairs.get_key_value(device));
        match (pair, known, self.attempt) {
            (Some((_, pair)), Some(id), _) if pair.id != *id => Planned::refused(in_settings()),
            (Some((device, _)), ..) => Planned::done(
                vec![Op::Note(Fact::Unpaired(device.clone()))],
                format!(
                    "{name} gets nothing any more, and what its page still wished is dropped; \
                     its files stay at home"
                ),
            ),
            (None, None, Attempt::Again) => Planned::done(Vec::new(), "it is forgotten"),
            (None, Some(_), _) => Planned::refused(in_settings()),
            (None, None, Attempt::First) => {
                Planned::refused(format!("no device is let in as {name}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";
    const OTHER: &str = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";

    fn name(text: &str) -> DeviceName {
        DeviceName::new(text).unwrap()
    }

    fn pairs(all: &[(&str, &str)]) -> BTreeMap<DeviceName, Pair> {
        let pair = |id: &str| Pair { id: id.into(), at: Time(0), section: false };
        all.iter().map(|(n, id)| (name(n), pair(id))).collect()
    }

    #[test]
    fn what_the_settings_say_wins() {
        let text = format!("[devices.a]\nquota = \"1 GB\"\n[devices.b]\nid = \"{OTHER}\"");
        let settings = crate::config::parse(&text).unwrap();
        let force = |all| in_force(&settings, &pairs(all));
        let config = force(&[("a", ID)]);
        assert_eq!(config.devices[&name("a")].id.as_deref(), Some(ID));
        assert!(config.devices[&name("a")].quota.is_some());
        let config = force(&[("c", ID)]);
        assert_eq!(config.devices[&name("c")].id.as_deref(), Some(ID));
        assert_eq!((config.devices[&name("c")].quota, config.devices.len()), (None, 3));
        assert_eq!(force(&[("b", ID)]), settings, "another id stands there");
        assert_eq!(force(&[("c", OTHER)]), settings, "it has another name there");
        assert_eq!(force(&[("A", ID)]), settings, "a name that differs only in case");
    }

    #[test]
    fn what_is_written_or_taken_out_there_ends_what_was_decided_on_the_page() {
        let text = format!("[devices.a]\n[devices.b]\nid = \"{OTHER}\"");
        let settings = crate::config::parse(&text).unwrap();
        let of = |at: &str, id, section| {
            let mut pairs = pairs(&[(at, id)]);
            pairs.values_mut().for_each(|pair| pair.section = section);
            fates(&settings, &pairs).into_iter().map(|(_, fate)| fate).next()
        };
        assert_eq!(of("c", ID, false), None, "a device of the page alone");
        assert_eq!(of("c", ID, true), Some(Fate::Removed));
        assert_eq!(of("a", ID, true), None);
        assert!(matches!(of("a", ID, false), Some(Fate::Section(Pair { section: true, .. }))));
        assert_eq!(of("b", ID, true), Some(Fate::Written));
        assert_eq!(of("c", OTHER, true), Some(Fate::Written));
    }
}
