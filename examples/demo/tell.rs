//! How the story is told: a few colours where there is a terminal, plain text elsewhere.

use larder::model::Bytes;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

fn paint(code: &str, text: &str) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Someone does something.
pub fn scene(text: &str) {
    println!("\n{}", paint("1", text));
}

/// Something that can be seen on the drive now.
pub fn fact(text: &str) {
    println!("  {} {text}", paint("32", "✓"));
}

/// Why it is so.
pub fn aside(text: &str) {
    println!("    {}", paint("2", text));
}

/// A path, as it is on the drive.
pub fn name(path: &Path, drive: &Path) -> String {
    paint("36", &path.strip_prefix(drive).unwrap_or(path).display().to_string())
}

/// Where a browser finds a file.
pub fn url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(*byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    paint("36", &url)
}

/// A command to type.
pub fn command(text: &str) -> String {
    paint("36", text)
}

/// A time as people say it.
pub fn took(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// Bytes as people say them.
pub fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}
