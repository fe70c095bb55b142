//! The log: text or JSON, telephone numbers redacted in every line above DEBUG, and the ids that hide some shortened.
//!
//! The redaction is done on the finished line, whoever wrote it, so no call site can forget it.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, LogSettings};
use crate::error::Error;
use crate::reference;

/// Digits in a row that make a telephone number. Shorter ones are ports, statuses, durations.
const NUMBER: usize = 8;
/// Characters of a hexadecimal word that make an identifier; a number has 15 digits at most (ITU-T E.164).
const IDENTIFIER: usize = 24;
/// Digits that stay readable at the start and at the end of a number.
const SHOWN: (usize, usize) = (4, 2);

/// The target of traced calls: let through at DEBUG whatever the filter says.
pub(crate) const TRACED: &str = "wa_sbc::traced";

/// Changes the filter of the running log.
type Change = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The filter in force, as the operator wrote it, and how to change it.
static FILTER: Mutex<Option<(String, Change)>> = Mutex::new(None);

/// Sets up the log of this process, on standard error.
pub fn install(settings: &LogSettings) -> Result<(), Error> {
    let filter = parse(&settings.filter).map_err(|why| Error::Log {
        filter: settings.filter.clone(),
        why,
    })?;
    // A second log in one process is a test's; the first one stays.
    let installed = match settings.format {
        LogFormat::Text => {
            let (log, change) = text(filter, std::io::stderr);
            tracing::subscriber::set_global_default(log).map(|()| change)
        }
        LogFormat::Json => {
            let (log, change) = json(filter, std::io::stderr);
            tracing::subscriber::set_global_default(log).map(|()| change)
        }
    };
    if let Ok(change) = installed {
        *lock() = Some((settings.filter.clone(), change));
    }
    Ok(())
}

/// The filter in force.
pub(crate) fn filter() -> Option<String> {
    lock().as_ref().map(|(filter, _)| filter.clone())
}

/// Puts another filter in force, until the next start.
pub(crate) fn set_filter(filter: &str) -> Result<(), String> {
    let parsed = parse(filter)?;
    let mut lock = lock();
    let (written, change) = lock.as_mut().ok_or("this program keeps no log")?;
    change(parsed)?;
    filter.clone_into(written);
    drop(lock);
    tracing::warn!(filter, "the operator changed what is logged");
    Ok(())
}

fn lock() -> std::sync::MutexGuard<'static, Option<(String, Change)>> {
    FILTER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    let filter = EnvFilter::try_new(filter).map_err(|why| why.to_string())?;
    let traced = format!("{TRACED}=debug").parse();
    Ok(filter.add_directive(traced.expect("a target and a level make a directive")))
}

fn text<W>(filter: EnvFilter, writer: W) -> (impl Subscriber + Send + Sync, Change)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .event_format(Redacting(
            format::format().with_target(false).with_ansi(false),
        ))
        .with_env_filter(filter)
        .with_filter_reloading();
    let handle = builder.reload_handle();
    let change = move |filter| handle.reload(filter).map_err(|why| why.to_string());
    (builder.finish(), Box::new(change))
}

fn json<W>(filter: EnvFilter, writer: W) -> (impl Subscriber + Send + Sync, Change)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .json()
        .with_writer(writer)
        .event_format(Redacting(format::format().json().flatten_event(true)))
        .with_env_filter(filter)
        .with_filter_reloading();
    let handle = builder.reload_handle();
    let change = move |filter| handle.reload(filter).map_err(|why| why.to_string());
    (builder.finish(), Box::new(change))
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

/// The text with the middle of every long row of digits taken out, and Meta's ids shortened, which hide such rows.
/// Identifiers of ours keep theirs: a row inside a hexadecimal word that is longer than any number could be.
pub fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let text = reference::shortened(text);
    let mut rest = &*text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, word) = rest.split_at(start);
        let end = word
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        redacted.push_str(before);
        let has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
        if has_letter && word.len() >= IDENTIFIER {
            redacted.push_str(word);
        } else {
            redact_word(word, &mut redacted);
        }
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

fn redact_word(mut word: &str, redacted: &mut String) {
    while let Some(start) = word.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = word.split_at(start);
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
        word = after;
    }
    redacted.push_str(word);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use b2bua::event::{CallEvent, Facts, Happened};
    use b2bua::record::Direction;
    use b2bua::{CallId, E164, LogLine};
    use sdp::Side;
    use sdp::report::Unopened;

    use super::*;
    use crate::observe::Observers;

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
            ("cafe17125550259", "cafe1712…59"),
            (
                "call 00003d18be04fc30d01234567843bc4cb8830764@10.0.0.5",
                "call 00003d18be04fc30d01234567843bc4cb8830764@10.0.0.5",
            ),
            ("171255502591712555025917125550259", "1712…59"),
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
                logged(|filter, writer| Box::new(text(filter, writer).0)),
            ),
            (
                "json",
                logged(|filter, writer| Box::new(json(filter, writer).0)),
            ),
        ] {
            assert!(!text.contains("17125550259"), "{form}: {text}");
            assert_eq!(text.matches("+1712…59").count(), 2, "{form}: {text}");
            assert!(text.contains("4915155555555"), "{form}: {text}");
        }
    }

    fn began(id: u64, number: &str) -> CallEvent {
        CallEvent {
            facts: Facts {
                id: CallId(id),
                direction: Direction::UserInitiated,
                reference: Some("wacid.HBgL".into()),
                carrier_call_id: Some("outgoing:wacid.HBgL".into()),
                pbx_call_id: None,
                number: E164::parse(number).expect("a number"),
                user: "+12195550714".into(),
                trunk: "office".into(),
                started: std::time::UNIX_EPOCH,
                ringing: None,
                answered: None,
            },
            happened: Happened::Began,
        }
    }

    #[test]
    fn a_call_and_the_calls_of_a_number_are_told_in_full_while_they_are_traced_and_no_other_is() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (log, _) = text(parse("warn").expect("a filter"), move || writer.clone());
        tracing::subscriber::with_default(log, || {
            let observers = Observers::new(0, 50);
            let step = |call: u64, text: &str| {
                observers.log(&LogLine {
                    level: b2bua::Level::Debug,
                    call: Some(CallId(call)),
                    text: format!("{text} of +12195550714"),
                });
            };
            step(7, "before");
            assert!(observers.traced.call(7, true));
            step(7, "during");
            step(8, "another");
            assert!(observers.traced.call(7, false));
            step(7, "after");
            // A number: calls that begin from now on, until their record is written.
            observers
                .traced
                .number(E164::parse("+17125550259").expect("a number"), true);
            observers.event(&began(20, "+17125550259"));
            observers.event(&began(21, "+4930555000"));
            step(20, "the number's");
            step(21, "somebody's");
            observers.recorded(&crate::records::tests_record(20));
            step(20, "when over");
            observers
                .traced
                .number(E164::parse("+17125550259").expect("a number"), false);
            observers.event(&began(22, "+17125550259"));
            step(22, "no longer");
            assert!(observers.traced.is_idle());
        });
        let text = String::from_utf8(lines.0.lock().expect("no panic while writing").clone())
            .expect("text");
        let told: Vec<&str> = text.lines().collect();
        assert_eq!(told.len(), 2, "{text}");
        assert!(
            told[0].contains("DEBUG during of +12195550714 call=7"),
            "{text}"
        );
        assert!(
            told[1].contains("DEBUG the number's of +12195550714 call=20"),
            "{text}"
        );
    }

    #[test]
    fn srtp_that_cannot_be_opened_is_a_warning_unless_the_network_sent_it_twice() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (log, _) = text(parse("info").expect("a filter"), move || writer.clone());
        let observers = Observers::new(0, 50);
        let mut listener = observers.listeners.subscribe();
        tracing::subscriber::with_default(log, || {
            for (side, why) in [(Side::A, Unopened::Tag), (Side::B, Unopened::Replay)] {
                let mut event = began(7, "+17125550259");
                let source = "198.51.100.9:3480".parse().expect("an address");
                event.happened = Happened::Unopened { side, why, source };
                observers.event(&event);
            }
        });
        let text = String::from_utf8(lines.0.lock().expect("no panic while writing").clone());
        let text = text.expect("text");
        let told: Vec<&str> = text.lines().collect();
        let [tag, replay] = told[..] else {
            panic!("{text}");
        };
        let words = "SRTP cannot be opened: wrong tag call=7 leg=\"carrier\" reason=\"tag\"";
        assert!(tag.contains("WARN") && tag.contains(words), "{tag}");
        assert!(tag.contains("source=198.51.100.9:3480"), "{tag}");
        let words = "SRTP cannot be opened: replayed call=7 leg=\"pbx\"";
        assert!(
            replay.contains("INFO") && replay.contains(words),
            "{replay}"
        );
        let heard = listener.try_recv().expect("told to listeners");
        let data: serde_json::Value = serde_json::from_str(&heard.data).expect("JSON");
        assert_eq!(heard.happened, "srtp_failed");
        assert_eq!(
            (&data["leg"], &data["reason"]),
            (&"carrier".into(), &"tag".into())
        );
    }

    #[test]
    fn a_step_of_a_call_is_one_line_with_the_ids_of_its_record_and_no_number_in_full() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (log, _) = json(parse("info").expect("a filter"), move || writer.clone());
        let record = crate::records::tests_record(7);
        let mut over = began(7, "+17125550259");
        over.facts.pbx_call_id = Some("b-1".into());
        over.happened = Happened::Over(Box::new(record.clone()));
        tracing::subscriber::with_default(log, || Observers::new(0, 50).event(&over));
        let text = String::from_utf8(lines.0.lock().expect("no panic while writing").clone())
            .expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let line: serde_json::Value =
            serde_json::from_str(&crate::records::line(0, &record)).expect("JSON");
        assert_eq!(told["call"], line["id"]);
        assert_eq!(told["direction"], line["direction"]);
        assert_eq!(told["trunk"], line["trunk"]);
        assert_eq!(
            (&told["message"], &told["by"]),
            (&"over".into(), &line["released_by"])
        );
        assert_eq!(told["cause"], line["text"]);
        let short = told["reference"].as_str().expect("an id");
        assert_eq!(reference::asked(short), Some(short));
        assert_eq!(told["carrier_call_id"], format!("outgoing:{short}"));
        assert!(reference::stands_in(short, b"wacid.HBgL"));
        assert_eq!(told["pbx_call_id"], "b-1");
        assert!(
            !text.contains("5550259") && !text.contains("12195550714"),
            "{text}"
        );
    }
}
