//! Who belongs to the house, in the engine: what was decided on the page comes into force, what a lost
//! device still wished is dropped, and the owner is told of devices that ask, stay away or take nothing.

use super::notices::ASKING;
use super::publish::key_name;
use super::{Engine, EngineError};
use crate::catalogue::AskingView;
use crate::config::Config;
use crate::model::{DeviceName, Holder, Origin, Time};
use crate::plan::{Asking, Fact, Fate, Share, ShareState, fates};
use crate::status::Condition;
use std::collections::BTreeSet;

/// So many of those that ask are shown; somebody on the network could ask under many ids.
const MOST_ASKING: usize = 12;
/// A device that files wait for is spoken of when it was away for so long: two weeks.
const AWAY: i64 = 14 * 86_400;
/// A device that is there and takes none of what waits for it is spoken of after ten minutes.
const IDLE: i64 = 600;
/// What was decided and is not carried out yet.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Somebody was let in or forgotten.
    changed: bool,
    /// Who was forgotten.
    forgotten: BTreeSet<DeviceName>,
    /// Ids that were turned away and that the carrier was not told of yet.
    turned_away: BTreeSet<String>,
}

impl Engine {
    /// Notes what a fact decides about who belongs to the house.
    pub(super) fn note_decision(&mut self, fact: &Fact) {
        match fact {
            Fact::Paired(..) => self.decided.changed = true,
            Fact::Unpaired(device) => {
                self.decided.changed = true;
                self.decided.forgotten.insert(device.clone());
            }
            Fact::TurnedAway(id, _) => {
                self.decided.turned_away.insert(id.clone());
            }
            _ => {}
        }
    }

    /// Puts in force what was decided, before the decision itself is on the disk.
    pub(super) fn follow_decisions(&mut self, now: Time) -> Result<(), EngineError> {
        for device in std::mem::take(&mut self.decided.forgotten) {
            self.drop_queue(&device)?;
        }
        if std::mem::take(&mut self.decided.changed) {
            let settings = self.settings.clone();
            self.configure(settings, now)?;
            self.tell_asking(now);
        }
        if !self.decided.turned_away.is_empty() {
            self.tell_asking(now);
        }
        Ok(())
    }

    /// The settings in force are known to be good: what they say of devices that were let in on the
    /// page counts from now on, also when they say nothing of one any more.
    pub fn trust_settings(&mut self, now: Time) -> Result<(), EngineError> {
        let fates = fates(&self.settings, &self.world.pairs);
        if fates.is_empty() {
            return Ok(());
        }
        for (device, fate) in fates {
            match fate {
                Fate::Removed => self.remember(&Fact::Unpaired(device))?,
                Fate::Section(pair) => self.remember(&Fact::Paired(device, pair))?,
                Fate::Written => {
                    // It stays in the house, so nothing of what it wished is dropped.
                    let over = Fact::Unpaired(device);
                    self.ledger.record(&over)?;
                    self.world.note(&over);
                    self.stale = true;
                }
            }
        }
        self.follow_decisions(now)?;
        self.settle_down()
    }

    /// The settings as they were given, without what was decided on the page.
    pub fn settings(&self) -> &Config {
        &self.settings
    }

    /// Ends what a device that left the house still wished, and lets its page's secret be another
    /// one: whoever has the device now has nothing from either.
    pub(super) fn drop_queue(&mut self, device: &DeviceName) -> Result<(), EngineError> {
        const WHY: &str = "the device does not belong to the house any more";
        let origin = Origin::Device(device.clone());
        let begun = |s: &Share| s.origin == origin && s.state == ShareState::Making;
        let shares = self.world.shares.iter().filter(|(_, s)| begun(s));
        let ended: Vec<_> = shares.map(|(name, s)| Fact::Share(name.clone(), s.ended())).collect();
        for fact in ended {
            self.remember(&fact)?;
        }
        let dropped = self.ledger.drop_queue(&origin, WHY)?;
        if dropped > 0 {
            log::info!("{dropped} open wishes of {device} are dropped");
        }
        self.ledger.forget_meta(&key_name(&origin))?;
        self.stale = true;
        Ok(())
    }

    /// Takes in who asks to be let in.
    pub(super) fn hear_asking(&mut self, mut asking: Vec<Asking>, now: Time) {
        // Who asks tries again and again, each time at another moment: that is no news.
        for one in &mut asking {
            if let Some(known) = self.world.asking.iter().find(|known| known.id == one.id) {
                one.since = known.since;
            }
        }
        asking.sort_by(|a, b| a.since.cmp(&b.since).then_with(|| a.id.cmp(&b.id)));
        if self.world.asking != asking {
            self.world.asking = asking;
            self.carrying.stale = true;
        }
        self.tell_asking(now);
    }

    /// Those that ask and do not belong to the house.
    fn strangers(&self) -> impl Iterator<Item = &Asking> {
        let known = |a: &&Asking| {
            !self.config.devices.values().any(|d| d.id.as_deref() == Some(a.id.as_str()))
        };
        self.world.asking.iter().filter(known)
    }

    fn tell_asking(&mut self, now: Time) {
        let new = self.strangers().filter(|a| !self.world.turned_away.contains_key(&a.id));
        let names: Vec<_> = new
            .take(MOST_ASKING)
            .map(|a| format!("{} ({})", crate::model::show(a.name.as_bytes()), a.id))
            .collect();
        if names.is_empty() {
            return self.clear_notice(ASKING);
        }
        let page = match &self.address {
            Some(address) => format!("the page at home, {address}"),
            None => "the page at home".into(),
        };
        let what = format!("asks to be let in: {}", names.join(", "));
        let next = format!(
            "accept or refuse it on {page}; or put its id under [devices.NAME] in larder.toml"
        );
        self.raise_notice(ASKING, Condition::Attention, now, what, next);
    }

    /// True for a device that was let in on the page and whose id the settings do not have.
    pub(super) fn is_let_in(&self, device: &DeviceName) -> bool {
        let known = self.config.devices.get(device).and_then(|d| d.id.as_ref());
        let pair = self.world.pairs.get(device).map(|pair| &pair.id);
        let written = self.settings.devices.get(device).is_some_and(|d| d.id.is_some());
        pair.is_some() && pair == known && !written
    }

    /// Those that ask, for the pages.
    pub(super) fn asking_views(&self) -> Vec<AskingView> {
        let view = |a: &Asking| AskingView {
            id: a.id.clone(),
            name: a.name.clone(),
            address: a.address.clone(),
            since: a.since,
            refused: self.world.turned_away.contains_key(&a.id),
        };
        self.strangers().take(MOST_ASKING).map(view).collect()
    }

    /// The ids that were turned away since the last call, for the carrier to tell them.
    pub fn take_turned_away(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.decided.turned_away)
    }

    /// Tells of devices that files wait for and that stay away, or are there and take nothing.
    pub(super) fn tell_of_devices(&mut self, now: Time) {
        let mut told = Vec::new();
        for (device, settings) in &self.config.devices {
            let waiting = self.on_the_way(device);
            let seen = self.carrying.seen.get(device);
            let label = &settings.label;
            let files = match waiting {
                1 => "1 file waits".to_owned(),
                n => format!("{n} files wait"),
            };
            let notice = match seen {
                _ if waiting == 0 => None,
                Some(seen) if !seen.up => {
                    let last = seen.last.filter(|last| now.since(*last) >= AWAY);
                    last.map(|last| {
                        let what =
                            format!("{label} was last here on {}; {files} for it", last.day());
                        (what, "switch it on at home; what waits goes there by itself")
                    })
                }
                Some(_) if !self.carrying.moving => {
                    let went_on = self.carrying.went_on.get(&Holder::Device(device.clone()));
                    let since = went_on.copied().unwrap_or(now);
                    (now.since(since) >= IDLE).then(|| {
                        let what = format!("{label} is here and takes nothing; {files} for it");
                        let next = "look into its Syncthing app: it may be full or paused, or ask \
                                    whether to take a folder; it goes on by itself after that";
                        (what, next)
                    })
                }
                _ => None,
            };
            told.push((format!("device {device}"), notice));
        }
        for (key, notice) in told {
            match notice {
                Some((what, next)) => self.raise_notice(&key, Condition::Ready, now, what, next),
                None => self.clear_notice(&key),
            }
        }
    }
}
