//! What kind of file a browser is told a master is, and what it may do with it.
//!
//! Masters come from anybody who ever sent the family a file. Shown beside the page, a document
//! with script in it could act as the page: so only kinds that can't hold script are shown
//! as what they are, documents are shown in a sandbox without script, and everything else is
//! handed over to be saved.

/// How a kind of file is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ContentType {
    /// `Content-Type`.
    pub(super) mime: &'static str,
    /// `Content-Security-Policy`.
    pub(super) policy: &'static str,
    /// Handed over to be saved, not shown.
    pub(super) save: bool,
}

/// No script, no network, an origin of its own.
const SANDBOX: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                       font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
/// For media, which browsers fetch once more from inside the document they show them in: an origin
/// of its own would not be allowed to.
const MEDIA: &str = "default-src 'none'; media-src 'self'; img-src 'self'; \
                     style-src 'unsafe-inline'; frame-ancestors 'none'";
/// For PDF, whose viewers refuse to start in a sandbox and keep its script to themselves.
const PDF: &str = "frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";

/// The kind that the ending of a name tells.
pub(super) fn of(name: &[u8]) -> ContentType {
    let ending = match name.iter().rposition(|&b| b == b'.') {
        Some(dot) if dot > 0 => name[dot + 1..].to_ascii_lowercase(),
        _ => Vec::new(),
    };
    let (mime, policy) = match &ending[..] {
        b"jpg" | b"jpeg" | b"jpe" | b"jfif" => ("image/jpeg", SANDBOX),
        b"png" => ("image/png", SANDBOX),
        b"gif" => ("image/gif", SANDBOX),
        b"webp" => ("image/webp", SANDBOX),
        b"avif" => ("image/avif", SANDBOX),
        b"bmp" => ("image/bmp", SANDBOX),
        b"ico" => ("image/x-icon", SANDBOX),
        b"svg" => ("image/svg+xml", SANDBOX),
        b"html" | b"htm" => ("text/html", SANDBOX),
        b"xhtml" | b"xht" => ("application/xhtml+xml", SANDBOX),
        b"mp3" => ("audio/mpeg", MEDIA),
        b"m4a" | b"aac" => ("audio/mp4", MEDIA),
        b"ogg" | b"oga" | b"opus" => ("audio/ogg", MEDIA),
        b"flac" => ("audio/flac", MEDIA),
        b"wav" => ("audio/wav", MEDIA),
        b"mp4" | b"m4v" => ("video/mp4", MEDIA),
        b"mov" => ("video/quicktime", MEDIA),
        b"webm" => ("video/webm", MEDIA),
        b"ogv" => ("video/ogg", MEDIA),
        b"mkv" => ("video/x-matroska", MEDIA),
        b"3gp" => ("video/3gpp", MEDIA),
        b"pdf" => ("application/pdf", PDF),
        // Source texts too: as plain text no page can take them for its script or style.
        b"txt" | b"md" | b"csv" | b"tsv" | b"log" | b"ini" | b"conf" | b"cfg" | b"toml"
        | b"yaml" | b"yml" | b"json" | b"xml" | b"js" | b"ts" | b"css" | b"c" | b"h" | b"cpp"
        | b"rs" | b"py" | b"sh" | b"java" | b"go" | b"tex" | b"srt" | b"vtt" | b"m3u" | b"vcf"
        | b"ics" => (TEXT, SANDBOX),
        _ => {
            return ContentType { mime: "application/octet-stream", policy: SANDBOX, save: true };
        }
    };
    ContentType { mime, policy, save: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_hold_script_is_never_shown_outside_a_sandbox() {
        for name in [
            "a.html",
            "a.HTM",
            "a.svg",
            "a.SvG",
            "a.xhtml",
            "a.xht",
            "a.xml",
            "a.mht",
            "a.mhtml",
            "a.swf",
            "a.hta",
            "a.xsl",
            "a.htc",
            "a",
            ".html",
            "a.html ",
            "a.html.",
            "a.jpg.html",
            "a.shtml",
            "a.svgz",
            "a.js",
            "a.mjs",
            "a.wasm",
            "a.pdf.html",
        ] {
            let kind = of(name.as_bytes());
            assert!(kind.policy.starts_with("sandbox;"), "{name}: {kind:?}");
            assert!(!kind.policy.contains("allow-"), "{name}: {kind:?}");
        }
    }

    #[test]
    fn endings_tell_the_kind() {
        for (name, mime, save) in [
            (&b"IMG_0001.JPG"[..], "image/jpeg", false),
            (b"\xff\xfe.png", "image/png", false),
            (b"song.mp3", "audio/mpeg", false),
            (b"film.mkv", "video/x-matroska", false),
            (b"letter.pdf", "application/pdf", false),
            (b"notes.txt", TEXT, false),
            (b"code.js", TEXT, false),
            (b"letter.odt", "application/octet-stream", true),
            (b"setup.exe", "application/octet-stream", true),
            (b"noending", "application/octet-stream", true),
            (b".png", "application/octet-stream", true),
            (b"png", "application/octet-stream", true),
        ] {
            let kind = of(name);
            assert_eq!((kind.mime, kind.save), (mime, save), "{}", name.escape_ascii());
        }
    }
}
