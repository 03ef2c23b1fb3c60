//! Real Syncthings on loopback: what the owner of a [`larder::transport::Handle`] sees, without the rest
//! of the house. Every instance has a home and folders of its own in a temporary directory, talks
//! to named addresses only, and is gone when its test is.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails the test")]

mod lab;
mod life;
mod markers;
mod moves;
mod shares;
