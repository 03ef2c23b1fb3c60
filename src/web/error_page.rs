//! What people read instead of a page or a file.

use super::Snapshot;
use crate::model::show;
use crate::status::Notice;
use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};

pub(super) const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;\
    padding:0 1.2rem;color:#1d2b29;background:#f6f8f7}h1{font-size:1.5rem;color:#0d6e62}\
    li{margin:.6rem 0}@media(prefers-color-scheme:dark){body{color:#dce5e3;background:#131a19}\
    h1{color:#5fc9b8}}";

/// The policy such a page needs: it has nothing but its looks.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// A small page. One that `waits` loads itself again after five seconds.
fn page(title: &str, text: &str, notices: &[Notice], waits: bool) -> String {
    let refresh = if waits { "<meta http-equiv=\"refresh\" content=\"5\">" } else { "" };
    let (title, text) = (escape(title), escape(text));
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{refresh}\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><h1>{title}</h1><p>{text}</p>"
    );
    if !notices.is_empty() {
        page.push_str("<ul>");
        for notice in notices {
            let (what, next) = (escape(&notice.what), escape(&notice.next));
            page.push_str(&format!("<li>{what} {next}</li>"));
        }
        page.push_str("</ul>");
    }
    page.push_str("</body></html>");
    page
}

/// Harmless between tags; names of files can be anything.
fn escape(text: &str) -> String {
    show(text.as_bytes()).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Sets a header whose value we made ourselves.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What can't stand in a header is left out: all that comes here is plain text.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// An answer of HTML.
pub(super) fn html(status: StatusCode, page: String, policy: &str) -> Response<Body> {
    let mut answer = Response::new(Body::from(page));
    *answer.status_mut() = status;
    put(answer.headers_mut(), header::CONTENT_TYPE, "text/html; charset=utf-8");
    put(answer.headers_mut(), header::CONTENT_SECURITY_POLICY, policy);
    answer
}

/// An answer that says what is the matter.
pub(super) fn told(status: StatusCode, title: &str, text: &str) -> Response<Body> {
    html(status, page(title, text, &[], false), POLICY)
}

/// There is nothing of that name.
pub(super) fn missing() -> Response<Body> {
    let text = format!("{}.", super::files::Fault::Missing);
    told(StatusCode::NOT_FOUND, "Nothing here", &text)
}

/// There is no drive.
pub(super) fn away(snapshot: &Snapshot) -> Response<Body> {
    waiting(
        "The drive is not plugged in",
        "Plug the USB drive into Larder. The catalogue opens here by itself when it is there.",
        snapshot,
    )
}

/// Something will be there in a while.
pub(super) fn waiting(title: &str, text: &str, snapshot: &Snapshot) -> Response<Body> {
    let page = page(title, text, &snapshot.notices, true);
    let mut answer = html(StatusCode::SERVICE_UNAVAILABLE, page, POLICY);
    put(answer.headers_mut(), header::RETRY_AFTER, "5");
    answer
}

/// Another method.
pub(super) fn only(methods: &str) -> Response<Body> {
    let mut answer = told(
        StatusCode::METHOD_NOT_ALLOWED,
        "This can't be done here",
        &format!("What can be done: {methods}."),
    );
    put(answer.headers_mut(), header::ALLOW, methods);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use crate::status::Condition;

    #[test]
    fn nothing_that_is_told_becomes_markup() {
        let notice = Notice {
            at: Time(0),
            condition: Condition::Attention,
            what: "<script>alert(1)</script> &amp; \u{202e}".into(),
            next: "</ul><img src=x onerror=alert(1)>".into(),
        };
        let page = page("<b>", "\"a\" & <i>", &[notice], true);
        for markup in ["<script", "<b>", "<i>", "<img", "\u{202e}"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp; ▯"));
    }
}
