//! The whole house for real: the program `larder run` with a Syncthing of its own, and real Syncthings
//! as the devices, on loopback. What a device does goes through its folders and nothing else; what is
//! looked at is the drive, the devices' folders, and the pages as the devices have them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails the test")]

#[path = "../sync/lab.rs"]
#[allow(dead_code, reason = "each program of tests uses its part of it")]
mod lab;

#[path = "../support/http.rs"]
mod http;
#[path = "../oracle/mod.rs"]
mod oracle;

mod days;
mod home;
mod joined;
mod judged;
mod life;
mod markers;
mod mass_changes;
mod much;
mod page;
mod pairing;
mod people;
mod shares;
mod stranger;
mod trouble;
