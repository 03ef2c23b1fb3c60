//! Larder keeps a family's files at home and puts exactly the files that somebody asks for on each
//! of their devices. ARCHITECTURE.md shows the rooms and how data flows through them.

pub mod apply;
pub mod catalogue;
pub mod config;
pub mod dedup;
pub mod fs;
pub mod lease;
pub mod ledger;
pub mod model;
pub mod plan;
pub mod scan;
pub mod status;
pub mod worklist;
