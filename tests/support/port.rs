//! A port for a program that a test starts.
//!
//! Take it into a test with `#[path = "support/port.rs"] mod port;`.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A TCP port of this machine that nobody has. It is below those that the kernel gives to whoever asks for any
/// (from 32768 on; ip(7), `ip_local_port_range`): one of those could be somebody's before the program listens there.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const SO_MANY: u32 = 20_000;
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Programs that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + begin.wrapping_add(tried) % SO_MANY;
        let port = u16::try_from(port).unwrap_or(u16::MAX);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
