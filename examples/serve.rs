//! Serves a folder that looks like a Larder drive, for the browser tests and to look at.
//!
//! `cargo run --example serve -- --drive DIR [--port N] [--password WORD] [--readers true] [--claim SECONDS]
//! [--page ID,KEY,DEVICE]… [--common ID]`
//! Says its address on one line, then each worklist that it took in as JSON on a line of its own:
//! whose it is, and the wishes. Ends when its input ends. Who is signed in is forgotten with it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/support/owner.rs"]
mod owner;

use larder::model::{Access, DeviceName, Origin};
use larder::web::{ClaimWindow, Front, Neighbours, PageKey, Settings, Snapshot, State, serve};
use serde_json::json;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

#[tokio::main]
async fn main() {
    let mut settings =
        Settings { port: 0, address: Some(Ipv4Addr::LOCALHOST.into()), ..Settings::default() };
    let access = Access { secret: "of an example".into(), ..Access::default() };
    let mut snapshot = Snapshot { access: Arc::new(access), ..Snapshot::default() };
    let mut pages = Vec::new();
    let mut claim = Duration::ZERO;
    let mut given = std::env::args().skip(1);
    while let (Some(key), Some(value)) = (given.next(), given.next()) {
        match key.as_str() {
            "--drive" => snapshot.drive = Some(value.into()),
            "--port" => settings.port = value.parse().unwrap(),
            "--password" => settings.password = Some(value),
            "--readers" => settings.readers = value.parse().unwrap(),
            "--claim" => claim = Duration::from_secs(value.parse().unwrap()),
            "--common" => snapshot.page = value,
            "--page" => {
                let parts: Vec<&str> = value.split(',').collect();
                let [page, key, device] = parts[..] else { panic!("--page ID,KEY,DEVICE") };
                let origin = Origin::Device(DeviceName::new(device).unwrap());
                pages.push(PageKey { page: page.into(), key: key.into(), origin });
            }
            _ => panic!("what is {key}?"),
        }
    }
    snapshot.pages = pages.into();

    let (_settings, settings) = watch::channel(settings);
    let (told, snapshot) = watch::channel(snapshot);
    let (commands, mut asked) = mpsc::channel(8);
    let (state, mut states) = watch::channel(State::default());
    let (reads, _reads) = watch::channel(());
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        ended.send(())
    });
    let stop = async { drop(end.await) };
    let (claim, neighbours) = (ClaimWindow::for_the_next(claim), Neighbours::of_kernel());
    let front = Front { settings, snapshot, commands, state, reads, claim, neighbours };
    let served = tokio::spawn(serve(front, stop));
    let listening = states.wait_for(|state| *state != State::Off).await.unwrap().clone();
    match listening {
        State::Listening(at) => println!("http://{at}"),
        other => panic!("{other:?}"),
    }
    while let Some(command) = asked.recv().await {
        let Some(wishes) = owner::obey(command, &told) else { continue };
        let list = &wishes.worklist;
        println!("{}", json!({"from": wishes.origin.to_string(), "wishes": list.wishes}));
        drop(wishes.reply.send(Ok(list.wishes.iter().map(|wish| wish.id).collect())));
    }
    served.await.unwrap();
}
