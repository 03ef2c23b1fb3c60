//! The two answers to a mass change: let it happen, and keep mine. Pure.

use super::back::Back;
use super::roll_back::roll_back;
use super::{Span, extent};
use crate::model::{Answer, Holder, Origin, RelPath, Trait};
use crate::plan::reconcile::{NotYet, Observation, reconcile};
use crate::plan::wish::{Asked, Planned};
use crate::plan::{CHUNK, Fact, Op, Replica, Why};
use std::collections::BTreeSet;

/// The devices that a wish about mass changes is for; why not, otherwise.
fn stormy<'a>(
    asked: &Asked<'_>,
    to: &[&'a Holder],
    origin: &Origin,
) -> Result<Vec<&'a Holder>, Planned> {
    let storming =
        |d: &Holder| asked.world.replicas.get(d).is_some_and(|h| h.mass_change.is_some());
    if let Origin::Device(own) = origin
        && let own = Holder::Device(own.clone())
        && (to.contains(&&own) || storming(&own))
    {
        return Err(Planned::refused(
            "a device can't speak for itself here: answer on the common page, or on the page of \
             another device",
        ));
    }
    Ok(to.iter().copied().filter(|d| storming(d)).collect())
}

impl Asked<'_> {
    /// True when a wish of a device's page is refused until its mass change is answered.
    pub(in crate::plan) fn may_not_take_away(&self, own: &Holder) -> bool {
        self.wish.action.is(Trait::TakesAway)
            && self.replica(own).is_some_and(|h| h.mass_change.is_some())
    }

    pub(in crate::plan) fn not_before_the_word(&self, device: &Holder) -> Planned {
        // A page that waited for days would not be what anybody sees now.
        Planned::refused(format!(
            "not while nobody has said what to make of all that {} changed; answer that first, then \
             press again",
            self.label(device)
        ))
    }

    /// Why nothing is destroyed while any device holds back what it did there.
    pub(in crate::plan) fn refused_before_the_word(&self, path: &RelPath) -> Option<Planned> {
        let held = |(device, h): &(&Holder, &Replica)| match device {
            Holder::Device(_) => h.holds_back(path),
            Holder::SharedFolder(_) => {
                let mut homes = h.held.keys().filter_map(|p| self.world.home_of(device, p));
                homes.any(|home| home.is_within(path))
            }
        };
        let (device, _) = self.world.replicas.iter().find(held)?;
        Some(self.not_before_the_word(device))
    }

    /// The owner says that what a device did was meant: it is taken in like any change, the old
    /// contents kept as versions. As much is no mass change from then on.
    pub(in crate::plan) fn allow(&self, to: &[&Holder], origin: &Origin) -> Planned {
        let take_in = |device: &Holder, replica: &Replica, ops: &mut Vec<Op>| {
            for (path, seen) in &replica.held {
                if ops.len() >= CHUNK {
                    break;
                }
                let observation = Observation {
                    device,
                    path,
                    seen: *seen,
                    settled: true,
                    moved: None,
                    quota: self.quota(device),
                    now: self.now,
                };
                match reconcile(self.world, &observation) {
                    Ok(what) => {
                        let gets = |op: &Op| matches!(op, Op::Replace { why: Why::Replaced, .. });
                        let got = what.iter().any(gets);
                        ops.extend(what);
                        if got && observation.quota.is_some() {
                            // How much room is left for the next is seen when it has that.
                            return Ok(Part { more: true, missing: None });
                        }
                    }
                    Err(NotYet::Untold) => return Err(self.waits_for_word(device)),
                    Err(NotYet::Settling) => {}
                }
            }
            Ok(Part { more: ops.len() >= CHUNK, missing: None })
        };
        let what = "what was held is taken in; the old contents are kept for a while";
        let usual = |replica: &Replica| {
            let (rewritten, deleted, _) = extent(replica);
            (rewritten, deleted)
        };
        self.answer_mass_changes(to, origin, what, usual, take_in)
    }

    /// The owner says that it was not meant: the device gets again what it had, as far as its quota goes. What it
    /// wrote is kept as versions, and what was taken in before the mass change was noticed is turned back. Both are found by
    /// their inodes where somebody renamed them at home since; the answer counts what could not be turned back.
    pub(in crate::plan) fn keep_mine(&self, to: &[&Holder], origin: &Origin) -> Planned {
        let turn = |device: &Holder, replica: &Replica, ops: &mut Vec<Op>| {
            let (before, mut left) = (ops.len(), BTreeSet::new());
            if let Some(mass_change) = &replica.mass_change {
                left = roll_back(self.world, device, mass_change, ops);
            }
            if ops.len() > before {
                // First the masters: what the device gets, and what that costs, is seen when they are back.
                return Ok(Part { more: true, missing: None });
            }
            let mut back = Back::new(self, device, replica, left);
            for (path, seen) in &replica.held {
                if ops.len() >= CHUNK {
                    break;
                }
                back.held(path, *seen, ops);
            }
            back.deleted(ops);
            let more = ops.len() >= CHUNK;
            let missing = if more { None } else { back.give_up(ops) };
            Ok(Part { more, missing })
        };
        let what = "the device gets again what it had; what it wrote is kept for a while, among the \
                    old versions";
        self.answer_mass_changes(to, origin, what, |_| (0, 0), turn)
    }

    /// Plans an answer for each device, and the end of its mass change once that was all. What is `usual` from then on is
    /// noted with the first part, of all that was held.
    fn answer_mass_changes(
        &self,
        to: &[&Holder],
        origin: &Origin,
        what: &str,
        usual: impl Fn(&Replica) -> (u32, u32),
        plan: impl Fn(&Holder, &Replica, &mut Vec<Op>) -> Result<Part, Planned>,
    ) -> Planned {
        let devices = match stormy(self, to, origin) {
            Ok(devices) => devices,
            Err(refused) => return refused,
        };
        let (mut ops, mut what, mut more) = (Vec::new(), what.to_owned(), false);
        for device in devices {
            let Some(replica) = self.replica(device) else { continue };
            let mut change_rate = replica.change_rate.clone();
            let span = replica.mass_change.map_or(Span::Hour, |mass_change| mass_change.span());
            let (rewritten, deleted) = usual(replica);
            change_rate.accept(span, rewritten, deleted);
            ops.push(Op::Note(Fact::ChangeRate(device.clone(), change_rate)));
            let part = match plan(device, replica, &mut ops) {
                Ok(part) => part,
                Err(not_now) => return not_now,
            };
            more |= part.more;
            what.extend(part.missing);
            if !part.more {
                ops.push(Op::Note(Fact::Resolved(device.clone())));
            }
        }
        Planned { ops, answer: Answer::Done(what), more }
    }
}

/// What is planned for one device.
struct Part {
    /// There is more to do for it.
    more: bool,
    /// What to say of what could not be turned back or had no room.
    missing: Option<String>,
}
