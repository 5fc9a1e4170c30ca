//! Events in their two shapes: the core group's, which is stored, and `events.k8s.io/v1`.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::request::Target;
use crate::sim::store::resources::EVENTS_V1;

/// Core field, `events.k8s.io` field.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn renamed(object: &Value, api_version: &str, to_new: bool) -> Value {
    let Some(map) = object.as_object() else { return object.clone() };
    let mut out: Value = map
        .iter()
        .map(|(field, value)| {
            let found = NAMES.iter().find(|(old, new)| if to_new { old == field } else { new == field });
            let name = found.map_or(field.as_str(), |(old, new)| if to_new { new } else { old });
            (name.to_owned(), value.clone())
        })
        .collect();
    out["apiVersion"] = json!(api_version);
    out
}

/// The stored object as the client of `target` sees it.
pub(super) fn shown<'a>(target: &Target, object: &'a Value) -> Cow<'a, Value> {
    if *target.served == EVENTS_V1 {
        Cow::Owned(renamed(object, "events.k8s.io/v1", true))
    } else {
        Cow::Borrowed(object)
    }
}

/// The client's object as it is stored.
pub(super) fn stored(target: &Target, object: Value) -> Value {
    if *target.served == EVENTS_V1 { renamed(&object, "v1", false) } else { object }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_convert_both_ways() {
        let core =
            json!({ "apiVersion": "v1", "kind": "Event", "message": "m", "involvedObject": { "name": "n" } });
        let new = renamed(&core, "events.k8s.io/v1", true);
        assert_eq!(new["note"], "m");
        assert_eq!(new["regarding"]["name"], "n");
        assert_eq!(renamed(&new, "v1", false), core);
    }
}
