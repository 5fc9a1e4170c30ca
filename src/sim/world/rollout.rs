//! The arithmetic of a Deployment's rolling update (`pkg/controller/deployment/rolling.go`), apart from any store.

use serde_json::Value;

use super::read::scaled;

/// How a Deployment is replaced: by how many pods over and under the wanted number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// `maxSurge`, resolved: rounded up.
    pub surge: i64,
    /// `maxUnavailable`, resolved: rounded down; 1 when both would be 0.
    pub unavailable: i64,
}

/// A ReplicaSet as the arithmetic sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// `spec.replicas`.
    pub wanted: i64,
    /// `status.availableReplicas`.
    pub available: i64,
}

/// Resolves `maxSurge` and `maxUnavailable`, 25 % each when absent (`ResolveFenceposts`).
pub fn room(strategy: &Value, replicas: i64) -> Room {
    let share = Value::from("25%");
    let rolling = &strategy["rollingUpdate"];
    let of = |field: &str| if rolling[field].is_null() { &share } else { &rolling[field] };
    let surge = scaled(of("maxSurge"), replicas, true).unwrap_or(1);
    let unavailable = scaled(of("maxUnavailable"), replicas, false).unwrap_or(0);
    let is_stuck = surge == 0 && unavailable == 0;
    Room { surge, unavailable: if is_stuck { 1 } else { unavailable.min(replicas.max(1)) } }
}

/// To how many the new ReplicaSet may go.
pub fn grow(replicas: i64, room: Room, new: &Set, total: i64) -> i64 {
    if new.wanted >= replicas {
        return replicas;
    }
    let most = replicas + room.surge;
    if total >= most {
        return new.wanted;
    }
    new.wanted + (most - total).min(replicas - new.wanted)
}

/// To how many each old ReplicaSet is to go: unavailable pods first, then as many available ones as the budget of the
/// strategy leaves.
pub fn shrink(replicas: i64, room: Room, new: &Set, old: &[Set]) -> Vec<i64> {
    let mut wanted: Vec<i64> = old.iter().map(|set| set.wanted).collect();
    let total: i64 = new.wanted + wanted.iter().sum::<i64>();
    let least_available = replicas - room.unavailable;
    let mut may_go = total - least_available - (new.wanted - new.available).max(0);
    if may_go <= 0 {
        return wanted;
    }
    for (target, set) in wanted.iter_mut().zip(old) {
        let unhealthy = (*target - set.available).clamp(0, may_go);
        *target -= unhealthy;
        may_go -= unhealthy;
    }
    let available: i64 = new.available + old.iter().map(|set| set.available).sum::<i64>();
    let mut may_go = available - least_available;
    for target in &mut wanted {
        let going = (*target).min(may_go).max(0);
        *target -= going;
        may_go -= going;
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fenceposts() {
        for (strategy, replicas, surge, unavailable) in [
            (json!({}), 4, 1, 1),
            (json!({}), 1, 1, 0),
            (json!({}), 10, 3, 2),
            (json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "10%" } }), 3, 0, 1),
            (json!({ "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } }), 3, 2, 0),
        ] {
            assert_eq!(room(&strategy, replicas), Room { surge, unavailable }, "{strategy} of {replicas}");
        }
    }

    #[test]
    fn grows_within_the_surge() {
        let room = Room { surge: 1, unavailable: 0 };
        assert_eq!(grow(3, room, &Set { wanted: 0, available: 0 }, 3), 1);
        assert_eq!(grow(3, room, &Set { wanted: 1, available: 0 }, 4), 1);
        assert_eq!(grow(3, room, &Set { wanted: 3, available: 3 }, 3), 3);
    }

    #[test]
    fn shrinks_only_what_is_replaced_or_broken() {
        let room = Room { surge: 1, unavailable: 0 };
        let old = [Set { wanted: 3, available: 3 }];
        assert_eq!(shrink(3, room, &Set { wanted: 1, available: 0 }, &old), [3]);
        assert_eq!(shrink(3, room, &Set { wanted: 1, available: 1 }, &old), [2]);
        let broken = [Set { wanted: 3, available: 1 }];
        let generous = Room { surge: 0, unavailable: 2 };
        assert_eq!(shrink(3, generous, &Set { wanted: 0, available: 0 }, &broken), [1]);
    }
}
