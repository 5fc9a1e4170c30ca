//! Tables: objects as rows, with the columns that the API server's printers give (`pkg/printers/internalversion`).

mod apps;
mod core;
mod pod;
mod rest;

use serde_json::{Value, json};

use super::request::{Call, Target};
use super::{Api, answer, events};
use crate::sim::store::{Resource, clock, meta};
use jiff::Timestamp;

/// A column: name, type and priority (1 is shown with `-o wide`).
type Column = (&'static str, &'static str, u8);

/// The cells of an object at a time.
type Cells = fn(&Value, Timestamp) -> Vec<Value>;

/// How a kind is printed.
struct Layout {
    columns: &'static [Column],
    cells: Cells,
}

/// What a client wants of a table.
#[derive(Debug, Clone)]
pub(super) struct Options {
    include: String,
    /// Leave the column definitions out.
    pub(super) without_columns: bool,
}

impl Options {
    pub(super) fn of(call: &Call) -> Options {
        let include = call.param("includeObject").unwrap_or("Metadata").to_owned();
        Options { include, without_columns: false }
    }
}

const DEFAULT: Layout = Layout {
    columns: &[("Name", "string", 0), ("Age", "string", 0)],
    cells: |object, now| vec![json!(meta::name(object)), age(object, now)],
};

fn layout(r: &Resource) -> Layout {
    core::layout(r).or_else(|| apps::layout(r)).or_else(|| rest::layout(r)).unwrap_or(DEFAULT)
}

/// The objects as a table.
pub(super) fn table<T: std::borrow::Borrow<Value>>(
    api: &Api,
    target: &Target,
    objects: &[T],
    options: &Options,
    metadata: &Value,
) -> Value {
    let layout = layout(target.stored);
    let now = api.store().clock().timestamp();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let object = object.borrow();
            let mut row = json!({ "cells": (layout.cells)(object, now) });
            match options.include.as_str() {
                "None" => {}
                "Object" => row["object"] = events::shown(target, object).into_owned(),
                _ => row["object"] = answer::partial(object),
            }
            row
        })
        .collect();
    let columns: Vec<Value> = if options.without_columns {
        Vec::new()
    } else {
        layout.columns.iter().map(|column| definition(*column)).collect()
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns,
        "rows": rows,
    })
}

fn definition((name, kind, priority): Column) -> Value {
    let format = if name == "Name" && priority == 0 { "name" } else { "" };
    json!({ "name": name, "type": kind, "format": format, "description": "", "priority": priority })
}

/// Age of the object.
fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(&object["metadata"]["creationTimestamp"], now))
}

/// Time since a timestamp of an object, as kubectl shows ages.
fn since(at: &Value, now: Timestamp) -> String {
    match at.as_str().and_then(clock::parse) {
        Some(at) => human(now.duration_since(at).as_secs()),
        None => "<unknown>".to_owned(),
    }
}

/// A duration in seconds as apimachinery's `duration.HumanDuration` words it.
fn human(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, part: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{part}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        s if s < -1 => "<invalid>".to_owned(),
        s if s < 0 => "0s".to_owned(),
        s if s < 120 => format!("{s}s"),
        s if minutes < 10 => two(minutes, "m", s % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// A text of the object, or a substitute when it is empty.
fn text_or(value: &Value, otherwise: &str) -> Value {
    match value.as_str() {
        Some(text) if !text.is_empty() => json!(text),
        _ => json!(otherwise),
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `a=1,b=2`, or `<none>`.
fn labels(map: &Value) -> String {
    let parts: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if parts.is_empty() { "<none>".to_owned() } else { parts.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_kubectl_words_them() {
        for (seconds, text) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (135, "2m15s"),
            (3599, "59m"),
            (10_740, "179m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (90_000, "25h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (63_072_000, "2y"),
            (70_000_000, "2y80d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }
}
