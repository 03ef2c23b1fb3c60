//! Larder keeps a family's files at home and puts exactly the files that somebody asks for on each
//! of their devices. ARCHITECTURE.md shows the rooms and how data flows through them.

pub mod appliance;
pub mod apply;
pub mod catalogue;
pub mod check;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dedup;
pub mod drive;
pub mod engine;
pub mod fs;
pub mod lease;
pub mod led;
pub mod ledger;
pub mod machine;
pub mod model;
pub mod mounts;
pub mod parent;
pub mod plan;
pub mod status;
pub mod sync_bridge;
pub mod torrent;
pub mod transport;
pub mod watch;
pub mod web;
pub mod worklist;
