//! Asking destinations whether they live, and being asked: OPTIONS outside any call (RFC 3261 §11).

use std::time::Instant;

use sip::{ClientKey, Flow, Method, Name, Request, ServerKey, Target, Text, Uri};

use super::Core;
use crate::health::Change;
use crate::io::Level;
use crate::leg::sip::{extensions, words};
use crate::profile::PBX;

impl Core {
    /// Asks every destination whose time has come.
    pub(super) fn ping(&mut self, now: Instant) {
        while let Some((target, sent_by)) = self.health.due(now) {
            let Some(options) = self.options(&target, &sent_by) else {
                continue;
            };
            let sent_by = words::sent_by(&PBX, target.transport, &sent_by);
            let flow = self.flows.open(&target, &mut self.out);
            let key = self
                .endpoint
                .request(now, flow, target.transport, &sent_by, options);
            self.health.asked(key, target);
        }
    }

    /// Somebody asks what we can do: a trunk learns what holds for its calls.
    pub(super) fn asked(&mut self, now: Instant, key: ServerKey, flow: &Flow, request: &Request) {
        let trunk = self.directory.trunk_at(flow.remote.ip());
        let profile = trunk.map(|trunk| &trunk.profile);
        let mut allow = profile.map_or_else(
            || Text::fixed(words::ALLOW),
            |profile| extensions::allow(profile),
        );
        if self.is_registrar_at(flow) {
            allow = Text::from(format!("{allow}, REGISTER"));
        }
        let supported = profile.and_then(|profile| extensions::supported(&profile.extensions));
        let mut headers = vec![
            (Name::Accept, Text::fixed("application/sdp")),
            (Name::Allow, allow),
        ];
        headers.extend(supported.map(|tags| (Name::Supported, tags)));
        self.respond_with(now, key, request, 200, headers);
    }

    /// An answer came, or none will.
    pub(super) fn pinged(&mut self, key: ClientKey, alive: bool) {
        let Some((target, Some(change))) = self.health.answered(key, alive) else {
            return;
        };
        let Target { host, port, .. } = target;
        match change {
            Change::Died => self.log(
                Level::Warn,
                format!("{host}:{port} no longer answers OPTIONS"),
            ),
            Change::Revived => {
                self.log(Level::Info, format!("{host}:{port} answers OPTIONS again"))
            }
        }
    }

    fn options(&mut self, target: &Target, sent_by: &str) -> Option<Request> {
        let host = match target.host.contains(':') {
            true => format!("[{}]", target.host),
            false => target.host.clone(),
        };
        let uri = format!(
            "sip:{host}:{};transport={}",
            target.port,
            target.transport.param()
        );
        let mut options = Request::new(Method::Options, Uri::parse(uri.as_str()).ok()?);
        let headers = &mut options.headers;
        headers.push(
            Name::From,
            format!("<sip:{sent_by}>;tag={}", self.ident.tag()),
        );
        headers.push(Name::To, format!("<{uri}>"));
        headers.push(Name::CallId, self.ident.call_id(&host));
        headers.push(Name::CSeq, "1 OPTIONS");
        Some(options)
    }
}
