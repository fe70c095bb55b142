//! The command line of the doctor.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Finding, Patient, Verdict, examine};
use crate::clock;
use crate::config::Settings;

/// How the doctor is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Look only at what this number needs.
    #[arg(long, value_name = "E164")]
    number: Option<String>,
    /// One JSON array instead of text.
    #[arg(long)]
    json: bool,
    /// Trust this authority beside the public ones, as Meta never would (labs), PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Ask this STUN server how a media port looks from outside (UDP, port 3478 unless named).
    #[arg(long, value_name = "HOST[:PORT]")]
    stun: Option<String>,
    /// Seconds anything may take to answer.
    #[arg(long, default_value_t = 4.0, value_name = "SECONDS")]
    patience: f64,
}

/// Examines, prints; 0 when nothing fails, 1 when something does.
pub(crate) fn main(config: &Path, options: &Options) -> ExitCode {
    let findings = findings(config, options);
    if options.json {
        let json = serde_json::to_string_pretty(&findings);
        println!("{}", json.expect("plain texts can always be written"));
    } else {
        for finding in &findings {
            println!("{finding}");
        }
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    match worst {
        Some(Verdict::Fail) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn findings(config: &Path, options: &Options) -> Vec<Finding> {
    let settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error) => {
            let wrong = error.objections.iter().map(|objection| {
                let found = format!(
                    "{}:{}: {}: {}",
                    error.path.display(),
                    objection.line,
                    objection.key,
                    objection.problem
                );
                Finding::fail(found, objection.remedy.clone()).of("configuration")
            });
            return wrong.collect();
        }
    };
    let patient = Patient {
        settings,
        number: options.number.clone(),
        authority: options.ca.clone(),
        stun: options.stun.clone(),
        now: clock::wall(),
        patience: Duration::from_secs_f64(options.patience.clamp(0.1, 60.0)),
    };
    if let Some(number) = &patient.number
        && patient.numbers().next().is_none()
    {
        let finding = Finding::fail(
            format!("{number} is not configured"),
            format!(
                "add a [[number]] with e164 = \"{number}\" to {}",
                config.display()
            ),
        );
        return vec![finding.of("number")];
    }
    examine(&patient)
}
