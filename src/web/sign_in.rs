//! The page that somebody sees who is not signed in: choose the password, sign in, or what to do to choose one.
//!
//! It has nothing of the catalogue in it, and nothing from outside: its texts stand here.

use super::error_page::{self, STYLE};
use super::session::Door;
use axum::body::Body;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const BODY: &str = include_str!("sign_in.html");
const CSS: &str = include_str!("sign_in.css");
const SCRIPT: &str = include_str!("sign_in.js");

/// The page. Its status says that what was asked for needs a session.
pub(super) fn page(door: Door, status: StatusCode) -> Response<Body> {
    let (title, text, to, button) = match door {
        Door::Claim => (
            "Choose a password",
            "This Larder is new here. Whoever knows the password can see all files at home, and change and \
             destroy them. Choose a long one, of at least 8 characters.",
            "/claim",
            "Choose it",
        ),
        Door::Closed => (
            "Larder waits for its password",
            "Switch Larder off and on again, then open this page within 30 minutes from your network at home: the \
             first who does chooses the password. Or write password under [web] in larder.toml.",
            "",
            "",
        ),
        Door::SignedOut | Door::SignedIn => {
            ("Sign in", "Type the password of this Larder.", "/session", "Sign in")
        }
    };
    let claims = door == Door::Claim;
    let body = BODY
        .replace("{{title}}", title)
        .replace("{{text}}", text)
        .replace("{{to}}", to)
        .replace("{{button}}", button)
        .replace("{{kind}}", if claims { "new-password" } else { "current-password" })
        .replace("{{hidden}}", if door == Door::Closed { " hidden" } else { "" })
        .replace("{{once}}", if claims { "" } else { " hidden" });
    let style = format!("{STYLE}{CSS}");
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Larder: {title}</title>\
         <style>{style}</style></head><body>{body}<script>{SCRIPT}</script></body></html>"
    );
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(&style),
        hash(SCRIPT)
    );
    let mut answer = error_page::html(status, page, &policy);
    if status == StatusCode::UNAUTHORIZED {
        // A scheme of our own: browsers show the page and ask nothing.
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Larder"));
    }
    answer
}

/// What a policy calls a text that may be used (CSP 3, section 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::CONTENT_SECURITY_POLICY;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn the_page_is_whole_and_its_policy_is_that_of_its_texts() {
        for (door, has) in [
            (Door::Claim, "data-to=\"/claim\""),
            (Door::SignedOut, "data-to=\"/session\""),
            (Door::Closed, "data-to=\"\" hidden"),
        ] {
            let page = page(door, StatusCode::UNAUTHORIZED);
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
            let text = page.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(text.to_vec()).unwrap();
            assert!(text.contains(has) && !text.contains("{{"), "{text}");
            let between = |a: &str, b: &str| {
                let from = text.split_once(a).unwrap().1;
                hash(from.split_once(b).unwrap().0)
            };
            assert!(policy.contains(&format!("script-src '{}'", between("<script>", "</script>"))));
            assert!(policy.contains(&format!("style-src '{}'", between("<style>", "</style>"))));
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }
}
