//! The owner loop's part of who may use the page, as a test or an example plays it: in memory.
//!
//! Take it in with `#[path = "support/owner.rs"] mod owner;`.

use larder::model::Access;
use larder::web::{Command, Snapshot, Wishes};
use std::sync::Arc;
use tokio::sync::watch;

/// Does what the web asks for, tells it so, and answers. Wishes come back: they are the caller's.
pub(crate) fn obey(command: Command, house: &watch::Sender<Snapshot>) -> Option<Wishes> {
    let change = |how: &mut dyn FnMut(&mut Access)| {
        house.send_modify(|house| how(Arc::make_mut(&mut house.access)));
    };
    match command {
        Command::Take(wishes) => return Some(wishes),
        Command::Claim { password, session, reply } => {
            let first = house.borrow().access.password.is_none();
            change(&mut |access| {
                if first {
                    access.password = Some(password.clone());
                    access.sessions.push(session.clone());
                }
            });
            drop(reply.send(Ok(first)));
        }
        Command::SignIn { session, reply } => {
            change(&mut |access| access.sessions.push(session.clone()));
            drop(reply.send(Ok(())));
        }
        Command::SignOut { id, reply } => {
            let before = house.borrow().access.sessions.len();
            change(&mut |access| access.sessions.retain(|s| s.id != id));
            let gone = house.borrow().access.sessions.len() < before;
            drop(reply.send(Ok(gone)));
        }
        Command::Used { id, from, at } => change(&mut |access| {
            for session in access.sessions.iter_mut().filter(|s| s.id == id) {
                (session.from, session.used) = (from.clone(), at);
            }
        }),
    }
    None
}
