//! SRTP of the simulated PBX: its `a=crypto` lines, read and written with our own few lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdp::{Crypto, Keying, SrtpKey, Suite};

use crate::dice::Dice;

/// What one call of ours sends under.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    own: Option<SrtpKey>,
}

impl Keys {
    /// A key where one is needed, unless there is one that may go on to serve.
    pub(super) fn make(&mut self, dice: &mut Dice, suites: &[Suite], anew: bool) {
        if !suites.is_empty() && (self.own.is_none() || anew) {
            let mut bytes = [0; 44];
            bytes.fill_with(|| dice.roll() as u8);
            self.own = Some(SrtpKey::wide(bytes));
        }
    }

    /// The line of ours that goes with the far side's: of a suite both have.
    fn pair(&self, suites: &[Suite], theirs: &[Crypto]) -> Option<(Crypto, Crypto)> {
        let remote = theirs.iter().find(|line| suites.contains(&line.suite))?;
        let local = line(remote.tag, remote.suite, self.own.as_ref()?)?;
        Some((local, remote.clone()))
    }

    /// How packets are protected; `None`: by nothing both have.
    pub(super) fn keying(&self, suites: &[Suite], theirs: &[Crypto]) -> Option<Keying> {
        match suites {
            [] => Some(Keying::None),
            _ => self
                .pair(suites, theirs)
                .map(|(local, remote)| Keying::Sdes {
                    local: local.into(),
                    remote: remote.into(),
                }),
        }
    }

    /// A description with our keys: in an answer the one line that fits one of `theirs`, in an offer all.
    pub(super) fn add_to(
        &self,
        text: String,
        suites: &[Suite],
        theirs: Option<&[Crypto]>,
    ) -> String {
        let Some(own) = self.own.as_ref().filter(|_| !suites.is_empty()) else {
            return text;
        };
        let lines: Vec<Crypto> = match theirs {
            Some(theirs) => self
                .pair(suites, theirs)
                .map(|pair| pair.0)
                .into_iter()
                .collect(),
            None => (1..)
                .zip(suites)
                .filter_map(|(tag, suite)| line(tag, *suite, own))
                .collect(),
        };
        let mut text = text.replace("RTP/AVP", "RTP/SAVP");
        for Crypto {
            tag, suite, key, ..
        } in lines
        {
            let key = STANDARD.encode([key.key(), key.salt()].concat());
            text.push_str(&format!("a=crypto:{tag} {} inline:{key}\r\n", suite.name()));
        }
        text
    }
}

fn line(tag: u32, suite: Suite, key: &SrtpKey) -> Option<Crypto> {
    Some(Crypto {
        tag,
        suite,
        key: key.fit(suite)?,
        lifetime: None,
        mki: None,
    })
}

/// Reads what stands behind `a=crypto:`.
pub(super) fn read(value: &str) -> Option<Crypto> {
    let mut words = value.split(' ');
    let (tag, suite, key) = (words.next()?, words.next()?, words.next()?);
    let suite = Suite::ALL.into_iter().find(|known| known.name() == suite)?;
    let key = key.strip_prefix("inline:")?.split('|').next()?;
    Some(Crypto {
        tag: tag.parse().ok()?,
        suite,
        key: SrtpKey::from_bytes(suite, &STANDARD.decode(key).ok()?)?,
        lifetime: None,
        mki: None,
    })
}
