//! What strangers wrote, for a terminal.

use std::borrow::Cow;

/// The text without what a terminal would obey: control characters are shown as replaced.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        true => Cow::Owned(text.replace(char::is_control, "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_is_left() {
        assert_eq!(
            plain("403 \u{1b}[2JNo\u{9b}m\r\n"),
            "403 \u{fffd}[2JNo\u{fffd}m\u{fffd}\u{fffd}"
        );
        assert!(matches!(plain("Zoë · 403"), Cow::Borrowed(_)));
    }
}
