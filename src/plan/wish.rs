//! What a wish asks for, as operations and an answer.
//!
//! Planning is repeatable: a wish that was cut off is planned again against what there is now, and
//! only what is missing comes out. What can be checked only once (that the file is the one the user
//! saw) is checked on the first attempt alone.
//!
//! Here stands who may wish what, and which file plans it: those beside this one, and `share`, `joined`, `pair` and
//! `mass_change::answers`.

mod delete;
mod destroy;
mod get;
mod mkdir;
mod move_on;
mod pin;
mod undo;

use super::{CHUNK, Op, Replica, World};
use crate::config::Config;
use crate::model::{
    About, Action, Answer, Bytes, DeviceName, Devices, Holder, Origin, Stat, Time, Trait, Wish,
};

/// Whether anything was done for the wish before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// No.
    First,
    /// Perhaps: it was begun and cut off, or planned in parts.
    Again,
}

/// The plan for a wish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// What to do.
    pub ops: Vec<Op>,
    /// The answer once that is done.
    pub answer: Answer,
    /// True when there is more to do after these operations: plan again.
    pub more: bool,
}

impl Planned {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { ops: Vec::new(), answer: Answer::Refused(why.into()), more: false }
    }

    pub(super) fn waiting(why: impl Into<String>) -> Self {
        Self { ops: Vec::new(), answer: Answer::Waiting(why.into()), more: false }
    }

    pub(super) fn done(ops: Vec<Op>, what: impl Into<String>) -> Self {
        let more = ops.len() >= CHUNK;
        Self { ops, answer: Answer::Done(what.into()), more }
    }
}

/// Everything that the plan of one wish looks at.
pub(super) struct Asked<'a> {
    pub(super) world: &'a World,
    pub(super) config: &'a Config,
    pub(super) wish: &'a Wish,
    pub(super) attempt: Attempt,
    pub(super) now: Time,
}

/// Plans a wish that came from `origin`.
pub fn wish(
    world: &World,
    config: &Config,
    origin: &Origin,
    wish: &Wish,
    attempt: Attempt,
    now: Time,
) -> Planned {
    let own = match origin {
        Origin::Home => None,
        Origin::Device(device) => Some(device),
    };
    if let Some(refused) = own.and_then(|device| not_allowed(config, device, wish.action)) {
        return refused;
    }
    let from = wish.from.as_ref().or(own).cloned().map(Holder::Device);
    let own = own.cloned().map(Holder::Device);
    let asked = Asked { world, config, wish, attempt, now };
    let about = wish.action.traits().about;
    if about == About::Member {
        return asked.pairing();
    }
    if let Some(holder) = wish.to.iter().find(|holder| holder.shared_folder().is_some()) {
        return match about {
            About::MassChange => asked.plan(origin, None, &[holder]),
            _ => asked.for_joined(holder),
        };
    }
    let (from, own) = (from.as_ref(), own.as_ref());
    match asked.devices(from, own) {
        Ok(to) => match own.filter(|device| asked.may_not_take_away(device)) {
            Some(device) => asked.not_before_the_word(device),
            None => asked.plan(origin, from, &to),
        },
        Err(refused) => refused,
    }
}

/// The actions that a page offers: all that this NAS fulfils on the common page, on a device's page those of
/// them that the device may ask.
pub fn offered_on(config: &Config, own: Option<&DeviceName>) -> Vec<Action> {
    let settings = own.and_then(|device| config.devices.get(device));
    let allowed = |action: &Action| settings.is_none_or(|device| device.may.contains(action));
    Action::offered().filter(allowed).collect()
}

/// Why the page of this device may not ask that.
fn not_allowed(config: &Config, device: &DeviceName, action: Action) -> Option<Planned> {
    if action.is(Trait::AtHome) {
        return Some(Planned::refused(
            "only the page at home lets devices in or forgets them; open that of the NAS",
        ));
    }
    let Some(settings) = config.devices.get(device) else {
        return Some(Planned::refused(format!(
            "{device} is not in the settings; add [devices.{device}] to larder.toml"
        )));
    };
    (!settings.may.contains(&action)).then(|| {
        Planned::refused(format!(
            "{} may not {action}; the owner can allow it with `may` in larder.toml",
            settings.label
        ))
    })
}

impl<'a> Asked<'a> {
    /// Which devices the wish is for: those it names, else the page's own. They and where it takes from are known.
    fn devices(
        &self,
        from: Option<&Holder>,
        own: Option<&'a Holder>,
    ) -> Result<Vec<&'a Holder>, Planned> {
        let is_unknown = |device: &&Holder| self.config.device(device).is_none();
        let to: Vec<&Holder> = match self.wish.to.is_empty() {
            true => own.into_iter().collect(),
            false => self.wish.to.iter().collect(),
        };
        if let Some(unknown) = to.iter().copied().chain(from).find(is_unknown) {
            let known: Vec<_> = self.config.devices.keys().map(DeviceName::as_str).collect();
            return Err(Planned::refused(format!(
                "there is no device {unknown} in the settings (there are: {})",
                if known.is_empty() { "none yet".into() } else { known.join(", ") }
            )));
        }
        let needed = matches!(self.wish.action.traits().devices, Devices::Own | Devices::FromTo);
        if needed && to.is_empty() {
            return Err(Planned::refused("say for which device: this page belongs to no device"));
        }
        Ok(to)
    }

    /// What each action means.
    fn plan(&self, origin: &Origin, from: Option<&Holder>, to: &[&Holder]) -> Planned {
        match self.wish.action {
            Action::Get => self.get(to),
            Action::Open => self.open(to),
            Action::Delete => self.delete(to),
            Action::Destroy => self.destroy(),
            Action::Move => self.move_on(from, to),
            Action::Mkdir => self.mkdir(),
            Action::Pin => self.pin(to),
            Action::Unpin => self.unpin(to),
            Action::Undo => self.undo(),
            Action::Share => self.share(origin),
            Action::Revoke => self.revoke(),
            Action::ShareFolder => self.share_folder(origin),
            Action::RevokeShare => self.revoke_share(),
            Action::DestroyFolder => self.destroy_joined(),
            Action::Allow => self.allow(to, origin),
            Action::KeepMine => self.keep_mine(to, origin),
            Action::Accept | Action::Refuse | Action::Forget => self.pairing(),
            Action::Torrent | Action::TorrentOnce => Planned::refused(format!(
                "this NAS does not {} yet; update Larder",
                self.wish.action
            )),
        }
    }

    pub(super) fn replica(&self, device: &Holder) -> Option<&'a Replica> {
        self.world.replicas.get(device)
    }

    pub(super) fn master(&self) -> Option<&'a Stat> {
        self.world.files.get(&self.wish.path)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.world.is_folder(&self.wish.path)
    }

    pub(super) fn quota(&self, device: &Holder) -> Option<Bytes> {
        self.config.quota(device)
    }

    pub(super) fn label(&self, device: &Holder) -> String {
        self.config.label(device)
    }

    fn labels(&self, devices: &[&Holder]) -> String {
        devices.iter().map(|d| self.label(d)).collect::<Vec<_>>().join(", ")
    }
}
