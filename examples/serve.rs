//! Serves a folder that looks like a Larder drive, for the browser tests and to look at.
//!
//! `cargo run --example serve -- --drive DIR [--port N] [--password WORD] [--page ID,KEY[,DEVICE]]…`
//! Says its address on one line, then each worklist that it took in as JSON on a line of its own:
//! whose it is, and the wishes. Ends when its input ends.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use larder::model::{DeviceName, Origin};
use larder::web::{Front, House, PageKey, Settings, State, serve};
use serde_json::json;
use std::io::Read as _;
use std::net::Ipv4Addr;
use tokio::sync::{mpsc, oneshot, watch};

#[tokio::main]
async fn main() {
    let mut settings =
        Settings { port: 0, address: Some(Ipv4Addr::LOCALHOST.into()), ..Settings::default() };
    let mut house = House::default();
    let mut pages = Vec::new();
    let mut given = std::env::args().skip(1);
    while let (Some(key), Some(value)) = (given.next(), given.next()) {
        match key.as_str() {
            "--drive" => house.drive = Some(value.into()),
            "--port" => settings.port = value.parse().unwrap(),
            "--password" => settings.password = Some(value),
            "--page" => {
                let mut parts = value.split(',');
                pages.push(PageKey {
                    page: parts.next().unwrap().into(),
                    key: parts.next().unwrap().into(),
                    origin: parts.next().map_or(Origin::Home, |name| {
                        Origin::Device(DeviceName::new(name).unwrap())
                    }),
                });
            }
            _ => panic!("what is {key}?"),
        }
    }
    house.pages = pages.into();

    let (_settings, settings) = watch::channel(settings);
    let (_house, house) = watch::channel(house);
    let (wishes, mut taken) = mpsc::channel(8);
    let (state, mut states) = watch::channel(State::default());
    let (reads, _reads) = watch::channel(());
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        ended.send(())
    });
    let stop = async { drop(end.await) };
    let served = tokio::spawn(serve(Front { settings, house, wishes, state, reads }, stop));
    let listening = states.wait_for(|state| *state != State::Off).await.unwrap().clone();
    match listening {
        State::Listening(at) => println!("http://{at}"),
        other => panic!("{other:?}"),
    }
    while let Some(wishes) = taken.recv().await {
        let list = &wishes.worklist;
        println!("{}", json!({"from": wishes.origin.to_string(), "wishes": list.wishes}));
        drop(wishes.reply.send(Ok(list.wishes.iter().map(|wish| wish.id).collect())));
    }
    served.await.unwrap();
}
