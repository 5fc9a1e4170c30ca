//! `/sim/…`: the simulated cluster's own switches, outside the Kubernetes API but usable with `kubectl --raw`.
//!
//! `POST /sim/faults` sets a fault, `GET /sim/history` shows what was asked to change, `GET /sim/requests` counts every
//! request, reads and watches too (what is below `/sim/` is not counted).

use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::{Connection, Effect, Matching, Rule, Webhook};
use super::request::{Call, parse};
use super::{Api, answer};
use crate::sim::store::Status;

/// What the whole server does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Up,
    Down,
    Hang,
    Throttle,
    Fail,
    Slow,
}

/// Body of `POST /sim/faults`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// The server as a whole: `up down hang throttle fail slow`.
    api: Option<Mode>,
    /// For how long; needed for `down` and `hang`, or nobody could end them from outside.
    seconds: Option<f64>,
    /// Seconds of `Retry-After` for `throttle`.
    retry_after: Option<u32>,
    /// Code for `fail`.
    code: Option<u16>,
    /// Delay for `slow`.
    millis: Option<u64>,
    /// How many requests it concerns.
    times: Option<u32>,
    /// Which requests it concerns.
    #[serde(default)]
    matching: Matching,
    /// A denying webhook to add.
    webhook: Option<Webhook>,
    /// Requests to forbid.
    forbid: Option<Matching>,
    /// Ends everything scripted before.
    #[serde(default)]
    clear: bool,
}

/// Answers a request below `/sim/`.
pub(super) fn answer(api: &Api, call: &Call, rest: &str) -> Response {
    let result = match (call.method.as_str(), rest) {
        ("GET", "history") => history(api),
        ("GET", "requests") => serde_json::to_value(api.tally()).map_err(Status::internal),
        ("POST", "faults") => order(api, call),
        ("POST", "compact") => {
            api.store.compact();
            Ok(json!({ "compacted": api.store.revision() }))
        }
        (_, "history" | "requests" | "faults" | "compact") => Err(super::method_not_allowed()),
        _ => Err(Status::no_such_path()),
    };
    match result {
        Ok(value) => answer::json(200, &value),
        Err(status) => answer::failure(&status),
    }
}

fn history(api: &Api) -> Result<Value, Status> {
    serde_json::to_value(api.store.history()).map_err(Status::internal)
}

fn order(api: &Api, call: &Call) -> Result<Value, Status> {
    let order: Order =
        serde_json::from_value(parse(&call.body)?).map_err(|error| Status::bad_request(error.to_string()))?;
    let lasts = match order.seconds {
        None => None,
        Some(seconds) => Some(
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| Status::bad_request("seconds must be a positive number"))?,
        ),
    };
    if order.clear {
        api.faults.clear();
    }
    if let Some(webhook) = order.webhook {
        api.faults.deny(webhook);
    }
    if let Some(matching) = order.forbid {
        api.faults.add(Rule { times: order.times, lasts, ..Rule::always(matching, Effect::Forbid) });
    }
    let needed = || lasts.ok_or_else(|| Status::bad_request("down and hang need seconds"));
    let effect = match order.api {
        None => return Ok(json!({ "done": true })),
        Some(Mode::Up) => {
            api.faults.set_connection(Connection::Open);
            return Ok(json!({ "done": true }));
        }
        Some(Mode::Down) => {
            api.faults.set_connection_for(Connection::Down, needed()?);
            return Ok(json!({ "done": true }));
        }
        Some(Mode::Hang) => {
            api.faults.set_connection_for(Connection::Hanging, needed()?);
            return Ok(json!({ "done": true }));
        }
        Some(Mode::Throttle) => Effect::Throttle(order.retry_after.unwrap_or(1)),
        Some(Mode::Fail) => Effect::Fail(order.code.unwrap_or(500)),
        Some(Mode::Slow) => Effect::DelayMs(order.millis.unwrap_or(1000)),
    };
    api.faults.add(Rule { matching: order.matching, effect, times: order.times, lasts });
    Ok(json!({ "done": true }))
}
