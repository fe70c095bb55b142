//! # tests — wa-sbc judged from outside
//!
//! The tests of this package start the real binary (`wa-sbc run`) and put other programs on both of its sides: our own
//! simulator (`e2e_*.rs`) and software that we did not write (`interop_*.rs`). Every test has an address block of its own
//! on the loopback network, a directory of its own for what the programs say, and ends what it started by process id.
//!
//! ```text
//!              127.a.b.21              127.a.b.1              127.0.0.1 or 127.a.b.31
//!   judge as Meta ◄──── TLS, SRTP ────► wa-sbc ◄──── UDP or TCP, RTP ────► judge as PBX
//!        ▲                                                                       ▲
//!        └──────────────── tone, capture: what was really heard ────────────────┘
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`place`] | the directory and the loopback addresses of one test |
//! | [`running`] | a started program: its log, its end, its memory |
//! | [`tools`] | which independent programs are here, and the notice when one is not |
//! | [`certificates`] | a throw-away authority |
//! | [`tone`] | WAV files, tones, and the verdict on recorded audio |
//! | [`capture`] | tshark on the loopback interface |
//! | [`captured`] | a wa-sbc that is asked for captures |
//! | [`sipp`], [`kamailio`], [`baresip`] | the judges |
//! | [`scripted`] | SIPp as Meta behind Kamailio, and SIPp as the PBX |
//! | [`mutate`], [`hostile`] | broken messages and packets, and who sends them |
//! | [`load`] | both sides of many calls at once |
//! | [`names`] | a DNS server for programs that ask one of their own |
//! | [`metronome`] | whether the machine itself kept time |
//! | [`processors`] | which processor does what while something is measured |
//! | [`forgetful`] | a NAT that forgets connections |
//! | [`simulated`] | the simulated Meta and PBX as processes |
//! | [`desk`] | one call between the simulated Meta and a PBX played by SIPp |
//! | [`phones`] | the usual call: baresip, wa-sbc, baresip |
//! | [`sbc`] | the accused |
//! | [`http`], [`lab`] | its operator, and the accused with everything an operator asks for |
//! | [`schema`] | whether an answer is what the OpenAPI document promises |

pub mod baresip;
pub mod capture;
pub mod captured;
pub mod certificates;
pub mod desk;
pub mod forgetful;
pub mod hostile;
pub mod http;
pub mod kamailio;
pub mod lab;
pub mod load;
pub mod metronome;
pub mod mutate;
pub mod names;
pub mod pebble;
pub mod phones;
pub mod place;
pub mod postgres;
pub mod processors;
pub mod running;
pub mod sbc;
pub mod schema;
pub mod scripted;
pub mod simulated;
pub mod sipp;
pub mod tone;
pub mod tools;
