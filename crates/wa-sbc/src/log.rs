//! The log: text or JSON, telephone numbers redacted in every line above DEBUG.
//!
//! The redaction is done on the finished line, whoever wrote it, so no call site can forget it.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, LogSettings};
use crate::error::Error;

/// Digits in a row that make a telephone number. Shorter ones are ports, statuses, durations.
const NUMBER: usize = 8;
/// Digits that stay readable at the start and at the end of a number.
const SHOWN: (usize, usize) = (4, 2);

/// Sets up the log of this process, on standard error.
pub fn install(settings: &LogSettings) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|why| Error::Log {
        filter: settings.filter.clone(),
        why: why.to_string(),
    })?;
    // A second log in one process is a test's; the first one stays.
    let _ = match settings.format {
        LogFormat::Text => tracing::subscriber::set_global_default(text(filter, std::io::stderr)),
        LogFormat::Json => tracing::subscriber::set_global_default(json(filter, std::io::stderr)),
    };
    Ok(())
}

fn text<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        .event_format(Redacting(
            format::format().with_target(false).with_ansi(false),
        ))
        .finish()
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(writer)
        .event_format(Redacting(format::format().json().flatten_event(true)))
        .finish()
}

/// A format whose lines above DEBUG show no telephone number in full.
struct Redacting<F>(F);

impl<S, N, F> FormatEvent<S, N> for Redacting<F>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if *event.metadata().level() >= Level::DEBUG {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&redact(&line))
    }
}

/// The text with the middle of every long row of digits taken out.
pub fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(start);
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        let (digits, after) = digits.split_at(end);
        redacted.push_str(before);
        if digits.len() < NUMBER {
            redacted.push_str(digits);
        } else {
            redacted.push_str(&digits[..SHOWN.0]);
            redacted.push('…');
            redacted.push_str(&digits[digits.len() - SHOWN.1..]);
        }
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn numbers_lose_their_middle_and_everything_else_stays() {
        let cases = [
            (
                "call from +17125550259 to 12145551869",
                "call from +1712…59 to 1214…69",
            ),
            (
                "2026-11-23T18:44:48.123456Z 10.0.0.5:5060 after 32000 ms",
                "2026-11-23T18:44:48.123456Z 10.0.0.5:5060 after 32000 ms",
            ),
            ("ü17125550259ü", "ü1712…59ü"),
            ("1234567", "1234567"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0
                .lock()
                .expect("no panic while writing")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    type Subscribed = Box<dyn Subscriber + Send + Sync>;
    type Writing = Box<dyn Fn() -> Lines + Send + Sync>;

    fn logged(subscriber: fn(EnvFilter, Writing) -> Subscribed) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(EnvFilter::new("trace"), Box::new(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(caller = "+17125550259", "a call of 17125550259");
            tracing::warn!("from sip:+17125550259@example.com");
            tracing::debug!("in full: 4915155555555");
        });
        String::from_utf8(lines.0.lock().expect("no panic while writing").clone()).expect("text")
    }

    #[test]
    fn no_form_of_the_log_shows_a_number_above_debug() {
        for (form, text) in [
            (
                "text",
                logged(|filter, writer| Box::new(text(filter, writer))),
            ),
            (
                "json",
                logged(|filter, writer| Box::new(json(filter, writer))),
            ),
        ] {
            assert!(!text.contains("17125550259"), "{form}: {text}");
            assert_eq!(text.matches("+1712…59").count(), 2, "{form}: {text}");
            assert!(text.contains("4915155555555"), "{form}: {text}");
        }
    }
}
