//! The oracle proves itself: on a good drive that the real program made it finds nothing, and each thing that is broken
//! by hand is found as what it is.

#![allow(clippy::disallowed_methods, reason = "this test breaks drives")]

#[path = "../support/drive.rs"]
mod drive;
#[path = "mod.rs"]
mod oracle;

mod faults;
mod limits;
mod mutants;
mod scene;
