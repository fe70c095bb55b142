//! `[media]`: our own side of audio.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::unplaced;

/// `[media]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// The address Meta is told.
    pub public: IpAddr,
    /// The address bound for it; the same when absent (NAT: the private one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_bind: Option<IpAddr>,
    /// The address PBXs are told.
    pub private: IpAddr,
    /// The address bound for it; the same when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_bind: Option<IpAddr>,
    /// The range of UDP ports.
    #[serde(default = "ports")]
    pub ports: Spanned<String>,
    /// Ports Meta sends to: `per-call`, or `single`: the first pair of `ports` of each media thread.
    #[serde(default = "meta_port")]
    pub meta_port: Spanned<String>,
    /// Media threads; 0: one per CPU.
    #[serde(default)]
    pub threads: usize,
    /// Effort of the Opus encoder, 0 to 10.
    #[serde(default = "opus_complexity")]
    pub opus_complexity: Spanned<u8>,
    /// Bit/s of Opus towards Meta.
    #[serde(default = "opus_bitrate")]
    pub opus_bitrate: Spanned<u32>,
    /// Milliseconds of PBX audio held until Meta's path is proven, 0 to 2000; 0: none.
    #[serde(default = "preroll_ms")]
    pub preroll_ms: Spanned<u64>,
    /// DSCP of media packets, 0 to 63.
    #[serde(default = "dscp")]
    pub dscp: Spanned<u8>,
}

fn ports() -> Spanned<String> {
    unplaced("20000-29999".into())
}

fn meta_port() -> Spanned<String> {
    unplaced("per-call".into())
}

fn opus_complexity() -> Spanned<u8> {
    unplaced(5)
}

fn opus_bitrate() -> Spanned<u32> {
    unplaced(20_000)
}

fn preroll_ms() -> Spanned<u64> {
    unplaced(600)
}

fn dscp() -> Spanned<u8> {
    unplaced(46)
}
