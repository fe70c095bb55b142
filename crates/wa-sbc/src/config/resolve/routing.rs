//! Where calls go and when: every name is looked up once, every hour is read once.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use b2bua::settings::{AliasRange, Group, Hours, Member, Route, Zone};
use b2bua::{E164, settings};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use toml::Spanned;

use super::Resolver;
use crate::config::routing;

/// The most characters of a user parameter's name and value (Meta reference 11.2).
const LONGEST_PARAM: usize = 128;
/// Changes of an offset are looked up from 2020 to 2060.
const FROM: i64 = 1_577_836_800;
const TO: i64 = 2_840_140_800;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u32 = 24 * 60;

impl Resolver<'_, '_> {
    pub(super) fn groups(&mut self, trunks: &[settings::Trunk]) -> Vec<Group> {
        let file = self.file;
        let mut names: HashSet<&str> = trunks.iter().map(|trunk| &*trunk.name).collect();
        let known = names.clone();
        let mut groups = Vec::new();
        for place in &file.group {
            let routing::Group { name, members } = place.get_ref();
            if !names.insert(name.get_ref()) {
                self.object(
                    name.span(),
                    "group.name",
                    "a trunk or a group has this name already",
                    "give each of them a name of its own",
                );
            }
            let mut seen = HashSet::new();
            for member in members {
                let trunk = member.get_ref().trunk.as_str();
                let problem = match (known.contains(trunk), seen.insert(trunk)) {
                    (true, true) => continue,
                    (false, _) => format!("there is no trunk \"{trunk}\""),
                    (true, false) => format!("trunk \"{trunk}\" is a member twice"),
                };
                let remedy = "name trunks of this file, each once";
                self.object(member.span(), "group.members", problem, remedy);
            }
            if members.is_empty() {
                let remedy = "write members = [{ trunk = \"office\" }]";
                self.object(name.span(), "group.members", "the group is empty", remedy);
            }
            let member = |member: &Spanned<routing::Member>| Member {
                trunk: member.get_ref().trunk.as_str().into(),
                priority: member.get_ref().priority,
                weight: member.get_ref().weight,
            };
            groups.push(Group {
                name: name.get_ref().as_str().into(),
                members: members.iter().map(member).collect(),
            });
        }
        groups
    }

    /// The names calls may be sent to.
    pub(super) fn destinations(&self) -> HashSet<&str> {
        let file = self.file;
        let trunks = file.trunk.iter().map(|t| t.get_ref().name.get_ref());
        let groups = file.group.iter().map(|g| g.get_ref().name.get_ref());
        trunks.chain(groups).map(String::as_str).collect()
    }

    /// Objects to a name nothing has.
    pub(super) fn destination(&mut self, span: Range<usize>, key: &str, name: &str) {
        if self.destinations().contains(name) {
            return;
        }
        let file = self.file;
        let trunks = file.trunk.iter().map(|t| t.get_ref().name.get_ref());
        let groups = file.group.iter().map(|g| g.get_ref().name.get_ref());
        let names: Vec<&str> = trunks.chain(groups).map(String::as_str).collect();
        let remedy = match names.as_slice() {
            [] => "add a [[trunk]] table of that name".to_owned(),
            names => format!(
                "add a [[trunk]] table of that name, or use one of: {}",
                names.join(", ")
            ),
        };
        self.object(span, key, format!("there is no trunk \"{name}\""), remedy);
    }

    /// Where calls go by their user parameters; `known` are the names there are.
    pub(super) fn routes(
        &mut self,
        written: &[Spanned<routing::Route>],
        known: &HashSet<String>,
    ) -> Vec<Route> {
        let mut routes = Vec::new();
        for place in written {
            let routing::Route { user_params, trunk } = place.get_ref();
            if !known.contains(trunk) {
                self.destination(place.span(), "number.routes", trunk);
            }
            let too_long = |text: &String| text.is_empty() || text.len() > LONGEST_PARAM;
            if user_params.is_empty() || user_params.keys().any(too_long) {
                self.object(
                    place.span(),
                    "number.routes",
                    format!("a route needs user parameters, of at most {LONGEST_PARAM} characters"),
                    "write { user_params = { tgrp = \"sales\" }, trunk = \"sales\" } as Meta's settings \
                     of the number have them in request_uri_user_params",
                );
            }
            routes.push(Route {
                user_params: user_params.clone().into_iter().collect(),
                trunk: trunk.as_str().into(),
            });
        }
        routes
    }

    /// When a trunk is open, and who takes its calls otherwise.
    pub(super) fn hours(&mut self, written: &routing::Hours) -> (Option<Hours>, Option<Arc<str>>) {
        let name = written.timezone.get_ref();
        let offsets = offsets(name).unwrap_or_else(|| {
            self.object(
                written.timezone.span(),
                "trunk.hours.timezone",
                format!("`{name}` is no time zone"),
                "write its IANA name, as in \"Europe/Berlin\", or \"UTC\"",
            );
            Vec::new()
        });
        let mut open = Vec::new();
        for place in &written.open {
            match spans(place.get_ref()) {
                Some(spans) => open.extend(spans),
                None => self.object(
                    place.span(),
                    "trunk.hours.open",
                    format!("`{}` does not say days and hours", place.get_ref()),
                    "write \"mon-fri 08:00-18:00\" or \"sat 09:00-13:00\"",
                ),
            }
        }
        let outside = Some(written.outside.get_ref().as_str()).filter(|name| !name.is_empty());
        if let Some(name) = outside {
            self.destination(written.outside.span(), "trunk.hours.outside", name);
        }
        let hours = (!open.is_empty()).then(|| Hours {
            open,
            zone: Zone {
                name: name.clone(),
                offsets,
            },
        });
        (hours, outside.map(Into::into))
    }

    pub(super) fn alias_range(&mut self) -> Option<AliasRange> {
        let written = &self.file.alias.range;
        let text = written.get_ref();
        if text.is_empty() {
            return None;
        }
        let number = |text: &str| E164::parse(text.trim()).filter(|_| text.trim().starts_with('+'));
        let range = text
            .split_once('-')
            .and_then(|(first, last)| AliasRange::new(&number(first)?, &number(last)?));
        if range.is_none() {
            self.object(
                written.span(),
                "alias.range",
                format!("`{text}` is no range of numbers"),
                "write the first and the last, of the same length, as in \"+99900000000-+99900999999\"",
            );
        }
        range
    }
}

/// The offsets of a time zone from 2020 to 2060; `None`: there is no such zone.
fn offsets(name: &str) -> Option<Vec<(i64, i32)>> {
    let zone = TimeZone::get(name).ok()?;
    let begin = Timestamp::from_second(FROM).ok()?;
    let first = (FROM, zone.to_offset(begin).seconds());
    let changes = zone
        .following(begin)
        .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        .take_while(|(at, _)| *at < TO);
    Some(std::iter::once(first).chain(changes).collect())
}

/// `mon-fri 08:00-18:00` as spans of minutes of the week.
fn spans(text: &str) -> Option<Vec<(u32, u32)>> {
    let (days, hours) = text.trim().split_once(char::is_whitespace)?;
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let (first, last) = match days.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(days)?, day(days)?),
    };
    let (from, to) = hours.trim().split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    let count = (last + 7 - first) % 7 + 1;
    let span = |offset: usize| {
        let begin = (first + offset) as u32 % 7 * DAY;
        // Hours that end before they begin go on into the next day.
        let length = if to > from {
            to - from
        } else {
            to + DAY - from
        };
        (begin + from, (begin + from + length) % (7 * DAY))
    };
    Some((0..count).map(span).collect())
}

fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
    let minute = hours * 60 + minutes;
    (hours <= 24 && minutes < 60 && minute <= DAY).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_minutes_of_the_week() {
        for (text, expected) in [
            ("mon 08:00-18:00", Some(vec![(480, 1_080)])),
            (
                "tue-wed 00:00-24:00",
                Some(vec![(1_440, 2_880), (2_880, 4_320)]),
            ),
            ("Sun 22:00-06:00", Some(vec![(9_960, 360)])),
            (
                "sat-mon 10:00-11:00",
                Some(vec![(7_800, 7_860), (9_240, 9_300), (600, 660)]),
            ),
            ("mon", None),
            ("noday 08:00-18:00", None),
            ("mon 8-18", None),
            ("mon 08:00-25:00", None),
            ("mon 08:00-24:30", None),
        ] {
            assert_eq!(spans(text), expected, "{text}");
        }
    }

    #[test]
    fn summer_time_is_in_the_table() {
        let berlin = offsets("Europe/Berlin").expect("a zone");
        assert!(
            berlin.contains(&(1_774_746_000, 7_200)),
            "29 March 2026, 01:00 UTC"
        );
        assert!(
            berlin.contains(&(1_792_890_000, 3_600)),
            "25 October 2026, 01:00 UTC"
        );
        assert_eq!(offsets("UTC"), Some(vec![(FROM, 0)]));
        assert_eq!(offsets("Mars/Olympus"), None);
    }
}
