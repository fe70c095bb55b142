//! Ringback tones by country (ITU-T E.180 and its supplement 2).

use sdp::plan::Sound;

use super::{RATE, add_sine, to_pcm};

/// How a telephone of one country sounds while it rings far away.
struct Ringback {
    /// ISO 3166 names, lower case.
    countries: &'static [&'static str],
    /// Frequencies in Hz, each with its share of the whole amplitude.
    tones: &'static [(f64, f64)],
    /// Milliseconds of tone and of pause, in turn; one round.
    cadence: &'static [u32],
}

const HZ_400: &[(f64, f64)] = &[(400.0, 1.0)];
const HZ_420: &[(f64, f64)] = &[(420.0, 1.0)];
const HZ_425: &[(f64, f64)] = &[(425.0, 1.0)];
const HZ_440: &[(f64, f64)] = &[(440.0, 1.0)];
const HZ_450: &[(f64, f64)] = &[(450.0, 1.0)];
const BRITISH: &[(f64, f64)] = &[(400.0, 0.5), (450.0, 0.5)];
const AMERICAN: &[(f64, f64)] = &[(440.0, 0.5), (480.0, 0.5)];
/// 400 Hz, its amplitude modulated with 25 Hz.
const INDIAN: &[(f64, f64)] = &[(400.0, 0.5), (375.0, 0.25), (425.0, 0.25)];
/// 400 Hz, its amplitude modulated with 16 Hz.
const JAPANESE: &[(f64, f64)] = &[(400.0, 0.5), (384.0, 0.25), (416.0, 0.25)];

const DOUBLE: &[u32] = &[400, 200, 400, 2_000];

#[rustfmt::skip]
const TABLE: &[Ringback] = &[
    Ringback { countries: &["de", "ch", "li", "it", "nl", "pl", "cz", "sk", "dk", "no", "fi", "gr", "ro", "hu", "si", "hr", "br", "mx", "ar", "co", "pe", "il", "id"],
               tones: HZ_425, cadence: &[1_000, 4_000] },
    Ringback { countries: &["pt", "se"],                      tones: HZ_425,   cadence: &[1_000, 5_000] },
    Ringback { countries: &["es", "cl"],                      tones: HZ_425,   cadence: &[1_500, 3_000] },
    Ringback { countries: &["fr", "lu"],                      tones: HZ_440,   cadence: &[1_500, 3_500] },
    Ringback { countries: &["be"],                            tones: HZ_425,   cadence: &[1_000, 3_000] },
    Ringback { countries: &["at"],                            tones: HZ_420,   cadence: &[1_000, 5_000] },
    Ringback { countries: &["cn", "tr"],                      tones: HZ_450,   cadence: &[1_000, 4_000] },
    Ringback { countries: &["ng", "ke"],                      tones: HZ_400,   cadence: DOUBLE },
    Ringback { countries: &["gb", "uk", "ie", "au", "nz", "za", "hk", "my", "sg", "ae", "sa"], tones: BRITISH, cadence: DOUBLE },
    Ringback { countries: &["us", "ca", "pr"],                tones: AMERICAN, cadence: &[2_000, 4_000] },
    Ringback { countries: &["in", "pk", "lk", "bd"],          tones: INDIAN,   cadence: DOUBLE },
    Ringback { countries: &["jp"],                            tones: JAPANESE, cadence: &[1_000, 2_000] },
];

/// Level of the tones: -13 dBm0 (E.180 §3), a full-scale sine being about +3 dBm0.
const AMPLITUDE: f64 = 0.158;
/// Samples a tone takes to come and to go, so that it does not click: 5 ms.
const RAMP: usize = 40;

/// Every country with a ringback tone of ours, for an objection that helps.
pub const COUNTRIES: &str = "ae ar at au bd be br ca ch cl cn co cz de dk es fi fr gb gr hk hr hu id ie \
     il in it jp ke li lk lu mx my ng nl no nz pe pk pl pr pt ro sa se sg si sk tr uk us za";

/// One round of the ringback tone of a country (ISO 3166, any case); `uk` is taken for `gb`.
pub fn ringback(country: &str) -> Option<Sound> {
    let named = |name: &&str| name.eq_ignore_ascii_case(country);
    let found = TABLE.iter().find(|row| row.countries.iter().any(&named))?;
    let mut round = Vec::new();
    for (turn, millis) in found.cadence.iter().enumerate() {
        let mut part = vec![0.0; *millis as usize * RATE as usize / 1_000];
        if turn % 2 == 0 {
            for (hertz, share) in found.tones {
                add_sine(&mut part, *hertz, AMPLITUDE * share);
            }
            let end = part.len() - 1;
            for n in 0..RAMP {
                let gain = n as f64 / RAMP as f64;
                part[n] *= gain;
                part[end - n] *= gain;
            }
        }
        round.extend(to_pcm(&part));
    }
    Sound::new(round)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{level_dbfs, rms_dbfs};

    #[test]
    fn a_german_telephone_rings_for_one_second_in_five() {
        let sound = ringback("DE").unwrap();
        let pcm = sound.samples();
        assert_eq!(pcm.len(), 40_000);
        let level = level_dbfs(&pcm[800..7_200], 425.0);
        assert!((level + 16.0).abs() < 0.5, "{level} dBFS");
        assert_eq!(rms_dbfs(&pcm[8_000..]), -120.0);
    }

    #[test]
    fn a_british_telephone_rings_twice_with_two_tones() {
        let sound = ringback("uk").unwrap();
        let pcm = sound.samples();
        assert_eq!(pcm.len(), 24_000);
        for hertz in [400.0, 450.0] {
            assert!(level_dbfs(&pcm[400..2_800], hertz) > -24.0);
        }
        assert_eq!(rms_dbfs(&pcm[3_200..4_800]), -120.0);
        assert!(rms_dbfs(&pcm[4_900..7_900]) > -20.0);
    }

    #[test]
    fn every_country_of_the_list_rings_and_no_other() {
        let named: Vec<&str> = COUNTRIES.split(' ').collect();
        for country in &named {
            assert!(ringback(country).is_some(), "{country}");
        }
        let rows: usize = TABLE.iter().map(|row| row.countries.len()).sum();
        assert_eq!(rows, named.len());
        assert!(ringback("xx").is_none());
    }
}
