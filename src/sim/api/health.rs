//! `/healthz`, `/livez`, `/readyz`, with `?verbose`, `?exclude=CHECK` and single checks as paths.

use std::fmt::Write;

use axum::response::Response;

use super::request::Call;
use super::{Api, answer};

/// The checks a v1.33 server lists, in its order; `readyz` adds the last two and the readiness of etcd.
const CHECKS: &[&str] = &[
    "ping",
    "log",
    "etcd",
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-status-available-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// Answers a health path such as `readyz` or `livez/ping`.
pub(super) fn answer(api: &Api, path: &str, call: &Call) -> Response {
    let (kind, single) = path.split_once('/').unwrap_or((path, ""));
    let works = |check: &str| api.has_quorum() || !matches!(check, "etcd" | "etcd-readiness");
    let mut checks: Vec<&str> = CHECKS.to_vec();
    if kind == "readyz" {
        checks.insert(3, "etcd-readiness");
        checks.insert(4, "informer-sync");
        checks.push("shutdown");
    }
    if !single.is_empty() {
        return match checks.iter().find(|check| **check == single) {
            None => answer::text(404, "404 page not found\n"),
            Some(check) if works(check) => answer::text(200, "ok"),
            Some(_) => answer::text(500, "internal server error: reason withheld\n"),
        };
    }
    let mut lines = String::new();
    let mut healthy = true;
    for check in checks {
        let excluded = call.param("exclude") == Some(check);
        let line = if excluded {
            writeln!(lines, "[+]{check} excluded: ok")
        } else if works(check) {
            writeln!(lines, "[+]{check} ok")
        } else {
            healthy = false;
            writeln!(lines, "[-]{check} failed: reason withheld")
        };
        // Writing to a string does not fail.
        let _ = line;
    }
    match (healthy, call.flag("verbose")) {
        (true, false) => answer::text(200, "ok"),
        (true, true) => answer::text(200, format!("{lines}{kind} check passed\n")),
        (false, _) => answer::text(500, format!("{lines}{kind} check failed\n")),
    }
}
