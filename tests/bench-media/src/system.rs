//! The programs compared, behind one door: start, add calls, look at what it costs.

use std::time::Duration;

use sdp::Codec;
use tests::place::Place;
use tests::running::Running;

use crate::engine::ThroughEngine;
use crate::forwarder::ThroughForwarder;
use crate::load::{Load, Pace, Speech};
use crate::through_rtpengine::ThroughRtpengine;
use crate::through_sbc::{Build, MEDIA_PORT, ThroughSbc};

/// A program that carries calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum System {
    /// The real binary, calls placed by SIP.
    WaSbc,
    /// The same with one port towards Meta for all calls.
    WaSbcSharing,
    /// Another build of it, where one is named.
    WaSbcBefore,
    /// Its media threads alone.
    Engine,
    /// Debian's, in user space.
    Rtpengine,
    /// The bare forwarder, one socket for each end of a call.
    Forwarder,
    /// The bare forwarder with one port towards Meta.
    SharedPort,
}

impl System {
    /// All of them.
    pub(crate) const ALL: [System; 7] = [
        System::WaSbc,
        System::WaSbcSharing,
        System::WaSbcBefore,
        System::Engine,
        System::Rtpengine,
        System::Forwarder,
        System::SharedPort,
    ];

    /// Its name on a command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            System::WaSbc => "wa-sbc",
            System::WaSbcSharing => "one-port",
            System::WaSbcBefore => "before",
            System::Engine => "engine",
            System::Rtpengine => "rtpengine",
            System::Forwarder => "forwarder",
            System::SharedPort => "forwarder-one-port",
        }
    }

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::WaSbc => "wa-sbc",
            System::WaSbcSharing => "wa-sbc, one port to Meta",
            System::WaSbcBefore => "wa-sbc, the build before",
            System::Engine => "wa-sbc, media threads alone",
            System::Rtpengine => "rtpengine",
            System::Forwarder => "forwarder, a socket per call",
            System::SharedPort => "forwarder, one port to Meta",
        }
    }
}

/// What callers say, and what becomes of it.
#[derive(Clone)]
pub(crate) struct Case {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// Codec of Meta's leg and of the PBX's.
    pub(crate) codecs: (Codec, Codec),
    /// What is said.
    pub(crate) speech: Speech,
}

impl Case {
    /// Payloads pass as they are.
    pub(crate) fn is_relayed(&self) -> bool {
        self.codecs.0 == self.codecs.1
    }
}

/// A program with its load.
pub(crate) struct Stage {
    program: Program,
    load: Load,
    /// Calls that are up.
    pub(crate) calls: usize,
}

enum Program {
    WaSbc(Box<ThroughSbc>),
    Engine(ThroughEngine),
    Rtpengine(ThroughRtpengine),
    Forwarder(ThroughForwarder),
}

/// New calls a second.
const RATE: f64 = 100.0;

impl Stage {
    /// Starts the program for calls of this case, at most `most`. `lines` are further configuration of wa-sbc.
    ///
    /// # Errors
    /// With what keeps it from starting.
    pub(crate) fn start(
        system: System,
        case: &Case,
        most: usize,
        pace: Pace,
        lines: &str,
    ) -> Result<Stage, String> {
        let place = Place::new("bench-media");
        let speech = case.speech.clone();
        let [meta, pbx] = [21, 31].map(|host| (place.address(host), MEDIA_PORT).into());
        let load = Load::start(meta, pbx, speech, pace).map_err(|error| error.to_string())?;
        let sbc = |build| {
            ThroughSbc::start(&place, build, case.codecs, lines)
                .map(|sbc| Program::WaSbc(Box::new(sbc)))
        };
        let program = match system {
            System::WaSbc => sbc(Build::Usual)?,
            System::WaSbcSharing => sbc(Build::SharedPort)?,
            System::WaSbcBefore => sbc(Build::Before)?,
            System::Engine => Program::Engine(ThroughEngine::start(&place, case.codecs)),
            System::Rtpengine => Program::Rtpengine(ThroughRtpengine::start(&place, case.codecs)?),
            System::Forwarder | System::SharedPort => {
                let shared = system == System::SharedPort;
                Program::Forwarder(ThroughForwarder::start(&place, shared, most as u16))
            }
        };
        Ok(Stage {
            program,
            load,
            calls: 0,
        })
    }

    /// Adds calls; they speak at once.
    ///
    /// # Errors
    /// When not all of them come up.
    pub(crate) fn add(&mut self, count: usize) -> Result<(), String> {
        let load = &self.load;
        let up = match &mut self.program {
            Program::WaSbc(sbc) => sbc.place(count, RATE, |ends| load.add(ends)),
            Program::Engine(engine) => {
                engine.place(count, |ends| load.add(ends))?;
                count
            }
            Program::Rtpengine(rtpengine) => {
                rtpengine.place(count, |ends| load.add(ends))?;
                count
            }
            Program::Forwarder(forwarder) => {
                forwarder.place(count, |ends| load.add(ends));
                count
            }
        };
        self.calls += up;
        if up < count {
            return Err(format!("{up} of {count} calls came up"));
        }
        Ok(())
    }

    /// Lets the calls talk until everything has begun.
    pub(crate) fn settle(&mut self, span: Duration) {
        match &mut self.program {
            Program::WaSbc(sbc) => sbc.idle(span),
            _ => std::thread::sleep(span),
        }
    }

    /// The load.
    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    /// The calls through wa-sbc, where it is wa-sbc, and the load.
    pub(crate) fn sbc(&mut self) -> Option<(&mut ThroughSbc, &Load)> {
        match &mut self.program {
            Program::WaSbc(sbc) => Some((sbc, &self.load)),
            _ => None,
        }
    }

    /// The program.
    pub(crate) fn program(&self) -> &Running {
        match &self.program {
            Program::WaSbc(sbc) => &sbc.running,
            Program::Engine(engine) => &engine.running,
            Program::Rtpengine(rtpengine) => &rtpengine.running,
            Program::Forwarder(forwarder) => &forwarder.running,
        }
    }
}
