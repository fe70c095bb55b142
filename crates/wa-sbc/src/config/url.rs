//! What may stand where something is posted to.

/// Whether this is the URL of a place on the web: a scheme, a host, no blanks.
pub(super) fn is_url(text: &str) -> bool {
    let has_host = ["https://", "http://"].iter().any(|scheme| {
        text.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    });
    has_host && !text.contains(char::is_whitespace)
}
