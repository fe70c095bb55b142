//! Flags of the simulated peers on real sockets: `wa-sbc sim meta …` and `wa-sbc sim pbx …`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::meta::knobs::{MediaPlace, Talk};

/// What is said and done in every call.
#[derive(Clone, Debug, Args)]
pub struct TalkArgs {
    /// Send a tone of this frequency, in Hz (a multiple of 100); silence without
    #[arg(long, value_name = "HZ")]
    pub tone: Option<f64>,
    /// Listen for a tone of this frequency, in Hz
    #[arg(long, value_name = "HZ")]
    pub expect: Option<f64>,
    /// Press these digits (RFC 4733) once the call is up
    #[arg(long, default_value = "")]
    pub digits: String,
    /// Seconds from the answer to the first digit
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub digits_after: f64,
    /// Hang up so many seconds after the answer
    #[arg(long, value_name = "SECONDS")]
    pub hang_up_after: Option<f64>,
    /// Stop sending anything so many seconds after the answer
    #[arg(long, value_name = "SECONDS")]
    pub mute_after: Option<f64>,
}

/// Calls to place.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Place so many calls in all
    #[arg(long, default_value_t = 0)]
    pub calls: u32,
    /// Calls per second
    #[arg(long, default_value_t = 1.0)]
    pub rate: f64,
    /// Seconds before the first call is placed
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub call_after: f64,
    /// Give up when unanswered for so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub cancel_after: Option<f64>,
    /// Exit once so many calls are over, placed and received (by default the number of calls placed, if any)
    #[arg(long, value_name = "CALLS")]
    pub exit_after: Option<u64>,
    /// Exit after so many seconds whatever happens
    #[arg(long, value_name = "SECONDS")]
    pub at_most: Option<f64>,
}

/// How incoming calls end ringing.
#[derive(Clone, Debug, Args)]
pub struct AnswerArgs {
    /// Ring so many seconds after the INVITE
    #[arg(long, default_value_t = 0.1, value_name = "SECONDS")]
    pub ring_after: f64,
    /// Ring with this status: 180, or 183 with SDP
    #[arg(long, default_value_t = 180)]
    pub ring_status: u16,
    /// Do not ring at all
    #[arg(long)]
    pub no_ring: bool,
    /// Answer so many seconds after the INVITE
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub answer_after: f64,
    /// Refuse instead, with a status and a reason: `486 User declined the call`
    #[arg(long, value_name = "STATUS REASON")]
    pub refuse: Option<String>,
    /// Neither answer nor refuse
    #[arg(long)]
    pub never_answer: bool,
}

/// Where media lives.
#[derive(Clone, Debug, Args)]
pub struct MediaArgs {
    /// Address media is sent from and expected at; the address of --listen by default
    #[arg(long, value_name = "ADDRESS")]
    pub media_address: Option<IpAddr>,
    /// Port range, `first-last`
    #[arg(long, value_name = "FIRST-LAST")]
    pub media_ports: Option<String>,
    /// Signalling only: SDP is exchanged, no packet is sent, no media timer runs
    #[arg(long)]
    pub silent: bool,
}

/// `wa-sbc sim meta`: a strict Meta on TLS.
#[derive(Clone, Debug, Args)]
pub struct MetaArgs {
    /// TLS address to listen on, as wa.meta.vc
    #[arg(long, default_value = "127.0.0.1:5061", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Certificate chain for the SIP domain, PEM
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Authorities that may have signed the SBC's certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// Address and port of the SBC's TLS listener
    #[arg(long, value_name = "ADDRESS")]
    pub sbc: SocketAddr,
    /// A business number, E.164; repeatable
    #[arg(long = "number", value_name = "E164", required = true)]
    pub numbers: Vec<String>,
    /// The SIP server configured for the numbers: the name the SBC's certificate must carry
    #[arg(long)]
    pub hostname: String,
    /// The SIP password Meta generated for the numbers
    #[arg(long, env = "WA_SIP_PASSWORD", hide_env_values = true)]
    pub password: String,
    /// Meta's SIP domain
    #[arg(long, default_value = "wa.meta.vc")]
    pub domain: String,
    /// Enable PCMA and PCMU for the numbers
    #[arg(long)]
    pub g711: bool,
    /// Algorithms of the challenges, in order
    #[arg(long, value_delimiter = ',', default_value = "sha-256,md5")]
    pub challenge: Vec<String>,
    /// Status of the challenge: 407 or 401
    #[arg(long, default_value_t = 407)]
    pub challenge_status: u16,
    /// User part of the first caller, `+` and digits or a BSUID; later ones count up where they can
    #[arg(long, default_value = "+12195550714")]
    pub caller: String,
    /// Display name of the callers
    #[arg(long)]
    pub display: Option<String>,
    /// Payload of the call button
    #[arg(long)]
    pub cta_payload: Option<String>,
    /// Give up when it has rung for so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub cancel_ringing_after: Option<f64>,
    /// Answer challenges with this password instead
    #[arg(long)]
    pub wrong_password: Option<String>,
    /// Answer challenges over another connection
    #[arg(long)]
    pub retry_elsewhere: bool,
    /// All user-initiated INVITEs over one connection instead of one each
    #[arg(long)]
    pub shared_connection: bool,
    /// Placing calls
    #[command(flatten)]
    pub load: LoadArgs,
    /// Taking calls
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// Speech
    #[command(flatten)]
    pub talk: TalkArgs,
    /// Media
    #[command(flatten)]
    pub media: MediaArgs,
    /// Seed of tags, branches and keys; from the clock by default
    #[arg(long)]
    pub seed: Option<u64>,
}

/// `wa-sbc sim pbx`: a PBX on UDP and TCP.
#[derive(Clone, Debug, Args)]
pub struct PbxArgs {
    /// Address to listen on, UDP and TCP
    #[arg(long, default_value = "127.0.0.1:5070", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The SBC's address for this trunk
    #[arg(long, default_value = "127.0.0.1:5060", value_name = "ADDRESS")]
    pub sbc: SocketAddr,
    /// Place calls over TCP instead of UDP
    #[arg(long)]
    pub tcp: bool,
    /// Codecs in order: PCMA, PCMU, opus, telephone-event
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "PCMA,PCMU,telephone-event"
    )]
    pub codecs: Vec<String>,
    /// User part of From of calls placed: the business number
    #[arg(long, default_value = "+17125550259")]
    pub from: String,
    /// The WhatsApp user called first, `+` and digits; later ones count up
    #[arg(long, default_value = "+12195550714")]
    pub to: String,
    /// Placing calls
    #[command(flatten)]
    pub load: LoadArgs,
    /// Taking calls
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// Speech
    #[command(flatten)]
    pub talk: TalkArgs,
    /// Media
    #[command(flatten)]
    pub media: MediaArgs,
    /// Seed of tags and branches; from the clock by default
    #[arg(long)]
    pub seed: Option<u64>,
}

impl TalkArgs {
    /// As the peers have it.
    pub(crate) fn talk(&self) -> Talk {
        Talk {
            tone: self.tone,
            expect: self.expect,
            digits: self.digits.clone(),
            digits_after: (!self.digits.is_empty()).then(|| seconds(self.digits_after)),
            hang_up_after: self.hang_up_after.map(seconds),
            mute_after: self.mute_after.map(seconds),
            packets: Vec::new(),
            stalls: None,
        }
    }
}

impl AnswerArgs {
    /// Delay and status of the provisional response.
    pub(crate) fn ring(&self) -> Option<(Duration, u16)> {
        (!self.no_ring).then(|| (seconds(self.ring_after), self.ring_status))
    }

    /// Status and reason of a refusal.
    pub(crate) fn refusal(&self) -> Result<Option<(u16, String)>, String> {
        let Some(text) = &self.refuse else {
            return Ok(None);
        };
        let (status, reason) = text.split_once(' ').unwrap_or((text, ""));
        let status = status
            .parse()
            .map_err(|_| format!("--refuse {text}: no status"))?;
        let reason = if reason.is_empty() {
            sip::reason_phrase(status).to_owned()
        } else {
            reason.to_owned()
        };
        Ok(Some((status, reason)))
    }
}

impl MediaArgs {
    /// As the peers have it.
    pub(crate) fn place(&self, listen: IpAddr, default: (u16, u16)) -> Result<MediaPlace, String> {
        let (first, last) = match &self.media_ports {
            None => default,
            Some(text) => text
                .split_once('-')
                .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)))
                .filter(|(first, last)| first < last)
                .ok_or_else(|| format!("--media-ports {text}: want first-last"))?,
        };
        let first = first + (first & 1);
        let address = self.media_address.unwrap_or(listen);
        Ok(MediaPlace {
            address,
            first_port: first,
            ports: last.saturating_sub(first).saturating_add(1),
            silent: self.silent,
        })
    }
}

/// Seconds as a duration; nonsense is none at all.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn pbx(line: &str) -> PbxArgs {
        let command = PbxArgs::augment_args(Command::new("pbx"));
        let matches = command
            .try_get_matches_from(line.split_whitespace())
            .unwrap();
        PbxArgs::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn flags_become_a_talk() {
        let args = pbx("pbx --tone 400 --expect 1000 --digits 12# --hang-up-after 2.5");
        let talk = args.talk.talk();
        assert_eq!(
            (talk.tone, talk.expect, talk.digits.as_str()),
            (Some(400.0), Some(1_000.0), "12#")
        );
        assert_eq!(
            (talk.digits_after, talk.hang_up_after),
            (Some(seconds(2.0)), Some(seconds(2.5)))
        );
        assert!(args.answer.refusal().unwrap().is_none());
    }

    #[test]
    fn a_port_range_starts_even() {
        let args = pbx("pbx --media-ports 4001-4100");
        let place = args.media.place(args.listen.ip(), (1, 2)).unwrap();
        assert_eq!((place.first_port, place.ports), (4002, 99));
        assert!(
            pbx("pbx --media-ports 9-1")
                .media
                .place(args.listen.ip(), (1, 2))
                .is_err()
        );
    }
}
