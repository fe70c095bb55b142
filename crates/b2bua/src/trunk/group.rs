//! Several trunks as one.
//!
//! Members of the lowest priority are tried first. Among those of one priority the first is drawn
//! by weight, then the second among the rest, and so on, as RFC 2782 does with servers: a member of
//! weight 0 is drawn after all others.

use std::sync::Arc;

/// Several trunks as one, for numbers to go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; no trunk has the same.
    pub name: Arc<str>,
    /// Its trunks, each at most once.
    pub members: Vec<Member>,
}

/// A trunk in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub trunk: Arc<str>,
    /// Lower ones are tried first.
    pub priority: u16,
    /// Its share of the calls among those of its priority.
    pub weight: u16,
}

impl Group {
    /// The trunks in the order one call tries them; `dice` is randomness.
    pub(crate) fn order(&self, mut dice: u64) -> Vec<&Arc<str>> {
        let mut left: Vec<&Member> = self.members.iter().collect();
        left.sort_by_key(|member| member.priority);
        let mut order = Vec::with_capacity(left.len());
        while let Some(first) = left.first() {
            let priority = first.priority;
            let peers = left.iter().take_while(|member| member.priority == priority);
            let total: u64 = peers.clone().map(|member| u64::from(member.weight)).sum();
            dice = mixed(dice);
            let mut drawn = dice % total.max(1);
            let chosen = peers
                .map(|member| u64::from(member.weight))
                .position(|weight| {
                    let here = drawn < weight;
                    drawn = drawn.saturating_sub(weight);
                    here
                })
                .unwrap_or(0);
            order.push(&left.remove(chosen).trunk);
        }
        order
    }
}

/// The next number of a sequence that looks random (SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn group(members: &[(&str, u16, u16)]) -> Group {
        let member = |(trunk, priority, weight): &(&str, u16, u16)| Member {
            trunk: (*trunk).into(),
            priority: *priority,
            weight: *weight,
        };
        Group {
            name: "all".into(),
            members: members.iter().map(member).collect(),
        }
    }

    #[test]
    fn shares_are_kept_and_lower_priorities_come_first() {
        let group = group(&[
            ("spare", 2, 9),
            ("big", 1, 3),
            ("small", 1, 1),
            ("last", 1, 0),
        ]);
        let mut first = BTreeMap::new();
        for call in 0..4_000 {
            let order = group.order(call);
            assert_eq!(order.len(), 4);
            assert_eq!(&**order[2], "last", "weight 0 comes after its peers");
            assert_eq!(&**order[3], "spare");
            *first.entry(order[0].to_string()).or_insert(0) += 1;
        }
        let big = first["big"];
        assert!(
            (2_880..3_120).contains(&big),
            "three of four calls: {first:?}"
        );
        assert_eq!(first.len(), 2);
    }

    #[test]
    fn the_same_dice_give_the_same_order_and_no_weights_the_order_written() {
        let weighted = group(&[("a", 1, 1), ("b", 1, 1), ("c", 1, 1)]);
        assert_eq!(weighted.order(7), weighted.order(7));
        let plain = group(&[("a", 1, 0), ("b", 1, 0)]);
        let order: Vec<String> = plain.order(7).iter().map(|name| name.to_string()).collect();
        assert_eq!(order, ["a", "b"]);
        assert!(group(&[]).order(1).is_empty());
    }
}
