//! Larder keeps a family's files at home and puts exactly the files that somebody asks for on each
//! of their devices. ARCHITECTURE.md shows the rooms and how data flows through them.

pub mod config;
pub mod drive;
pub mod led;
pub mod model;
pub mod mounts;
pub mod status;
