//! How much: the smallest surge that gives a budget room, and the smallest change that lets one pod go.

use crate::domain::budget::{Amount, Demand};

/// Larger surges are not offered: what helps only with many more pods does not help at 03:00.
pub const LARGEST_SURGE: i32 = 2;

/// `desiredHealthy` of so many pods (`disruption.go`): shares of either kind round up.
pub fn desired(demand: Demand, pods: i32) -> i32 {
    match demand {
        Demand::MinAvailable(amount) => amount.of(pods),
        Demand::MaxUnavailable(amount) => pods.saturating_sub(amount.of(pods)).max(0),
        Demand::Nothing => pods,
    }
}

/// How many pods more it takes until one may go when all of them are healthy; `None` = no number helps.
pub fn surge(demand: Demand, pods: i32) -> Option<i32> {
    let enough = match demand {
        Demand::Nothing => return None,
        Demand::MinAvailable(Amount::Pods(count)) => count.checked_add(1)?,
        // n - ⌈p·n/100⌉ ≥ 1 ⇔ (100-p)·n ≥ 100
        Demand::MinAvailable(Amount::Percent(share)) => {
            let spare = (100 - share.max(0)).max(0);
            if spare == 0 {
                return None;
            }
            100_i32.div_euclid(spare) + i32::from(100_i32.rem_euclid(spare) != 0)
        }
        Demand::MaxUnavailable(Amount::Pods(count) | Amount::Percent(count)) => {
            if count <= 0 {
                return None;
            }
            1
        }
    };
    Some(enough.saturating_sub(pods).max(0))
}

/// What the budget has to ask for so that exactly one of the healthy pods may go: the field stays the same one, so that
/// what is put back is one field. `None` = no pod is healthy, and no number would let a healthy one go.
pub fn relaxed(demand: Demand, healthy: i32, expected: i32) -> Option<Demand> {
    if healthy < 1 {
        return None;
    }
    Some(match demand {
        // an integer minimum is computed without the owners' scale, so it also works where that fails
        Demand::MinAvailable(_) | Demand::Nothing => Demand::MinAvailable(Amount::Pods(healthy - 1)),
        Demand::MaxUnavailable(_) => {
            Demand::MaxUnavailable(Amount::Pods(expected.saturating_sub(healthy).max(0).saturating_add(1)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Amount::{Percent, Pods};
    use Demand::{MaxUnavailable, MinAvailable, Nothing};
    use proptest::prelude::*;

    /// Budget, replicas, desired, allowed, smallest surge.
    const TABLE: &[(Demand, i32, i32, i32, Option<i32>)] = &[
        (MinAvailable(Pods(1)), 1, 1, 0, Some(1)),
        (MinAvailable(Pods(3)), 3, 3, 0, Some(1)),
        (MinAvailable(Percent(50)), 1, 1, 0, Some(1)),
        (MinAvailable(Percent(50)), 2, 1, 1, Some(0)),
        (MinAvailable(Percent(50)), 3, 2, 1, Some(0)),
        (MinAvailable(Percent(80)), 3, 3, 0, Some(2)),
        (MinAvailable(Percent(90)), 3, 3, 0, Some(7)),
        (MinAvailable(Percent(99)), 3, 3, 0, Some(97)),
        (MinAvailable(Percent(100)), 1, 1, 0, None),
        (MinAvailable(Percent(100)), 7, 7, 0, None),
        (MaxUnavailable(Pods(0)), 3, 3, 0, None),
        (MaxUnavailable(Percent(0)), 3, 3, 0, None),
        (MaxUnavailable(Percent(10)), 3, 2, 1, Some(0)),
        (MaxUnavailable(Pods(1)), 1, 0, 1, Some(0)),
        (MaxUnavailable(Percent(25)), 1, 0, 1, Some(0)),
        (MinAvailable(Pods(5)), 3, 5, 0, Some(3)),
    ];

    #[test]
    fn the_table_of_surges() {
        for &(demand, pods, wanted, allowed, delta) in TABLE {
            assert_eq!(desired(demand, pods), wanted, "{demand} of {pods}");
            assert_eq!((pods - desired(demand, pods)).max(0), allowed, "{demand} of {pods}");
            assert_eq!(surge(demand, pods), delta, "{demand} of {pods}");
        }
        assert_eq!(surge(Nothing, 3), None);
    }

    fn any_demand() -> impl Strategy<Value = Demand> {
        prop_oneof![
            (0..20).prop_map(|count| MinAvailable(Pods(count))),
            (0..=100).prop_map(|share| MinAvailable(Percent(share))),
            (0..20).prop_map(|count| MaxUnavailable(Pods(count))),
            (0..=100).prop_map(|share| MaxUnavailable(Percent(share))),
        ]
    }

    proptest! {
        #[test]
        fn a_surge_is_enough_and_the_smallest(demand in any_demand(), pods in 1..20) {
            let room = |pods| pods - desired(demand, pods);
            match surge(demand, pods) {
                Some(delta) => {
                    prop_assert!(room(pods + delta) >= 1);
                    prop_assert!((0..delta).all(|less| room(pods + less) < 1));
                }
                None => prop_assert!((0..500).all(|more| room(pods + more) < 1)),
            }
        }

        #[test]
        fn a_relaxed_budget_lets_exactly_one_go(demand in any_demand(), healthy in 1..20, missing in 0..5) {
            let expected = healthy + missing;
            let relaxed = relaxed(demand, healthy, expected).unwrap();
            prop_assert_eq!(healthy - desired(relaxed, expected), 1);
        }
    }

    #[test]
    fn nothing_lets_a_pod_go_that_is_not_healthy() {
        assert_eq!(relaxed(MinAvailable(Pods(1)), 0, 1), None);
    }
}
