//! The text form of Prometheus metrics, version 0.0.4.

use std::fmt::Write;

use crate::meters::Histogram;

/// What is written so far.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// Label names and values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Begins a family; its samples follow at once.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            text: &mut self.0,
            name,
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// One family.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: f64) {
        self.line("", labels, None, value);
    }

    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut total = 0;
        for (count, bound) in histogram.counts.iter().zip(histogram.bounds) {
            total += count;
            self.line("_bucket", labels, Some(&bound.to_string()), total as f64);
        }
        total += histogram.counts.last().unwrap_or(&0);
        self.line("_bucket", labels, Some("+Inf"), total as f64);
        self.line("_sum", labels, None, histogram.sum);
        self.line("_count", labels, None, total as f64);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        for (index, (name, value)) in labels.iter().copied().chain(bound).enumerate() {
            let separator = if index == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.text, "{separator}{name}=\"{value}\"");
        }
        let close = if labels.is_empty() && bound.is_none() {
            ""
        } else {
            "}"
        };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_buckets_add_up() {
        let mut text = Exposition::default();
        text.family("a", "gauge", "A.")
            .sample(&[("x", "a\"b\\c\nd")], 1.5);
        let histogram = Histogram {
            bounds: &[0.5, 1.0],
            counts: vec![1, 2, 3],
            sum: 7.25,
        };
        text.family("b", "histogram", "B.")
            .histogram(&[("y", "z")], &histogram);
        assert_eq!(
            text.finish(),
            "# HELP a A.\n# TYPE a gauge\na{x=\"a\\\"b\\\\c\\nd\"} 1.5\n# HELP b B.\n# TYPE b histogram\n\
             b_bucket{y=\"z\",le=\"0.5\"} 1\nb_bucket{y=\"z\",le=\"1\"} 3\nb_bucket{y=\"z\",le=\"+Inf\"} 6\n\
             b_sum{y=\"z\"} 7.25\nb_count{y=\"z\"} 6\n"
        );
    }
}
