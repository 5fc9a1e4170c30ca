//! `curl` of the local etcd member's plain HTTP health port, 127.0.0.1:2381.
//!
//! Source: etcd `server/etcdserver/api/etcdhttp/health.go` (checks of `/livez` and `/readyz`, texts).

use super::Host;
use super::commands::{Output, lines};
use crate::proto::AlarmType;

/// Runs `curl` with `arguments`.
pub async fn curl(host: &Host, arguments: &[&str]) -> Output {
    let url = arguments.iter().find(|argument| argument.starts_with("http")).copied().unwrap_or_default();
    let rest =
        url.strip_prefix("http://127.0.0.1:2381").or_else(|| url.strip_prefix("http://localhost:2381"));
    let Some(path) = rest else {
        return Output::failure(
            7,
            format!("curl: (7) Failed to connect to {url}: Couldn't connect to server"),
        );
    };
    let node = host.machine().name();
    let Some(etcd) = host.inner.etcd.as_ref().filter(|etcd| etcd.is_up(node)) else {
        return Output::failure(
            7,
            "curl: (7) Failed to connect to 127.0.0.1 port 2381 after 0 ms: Couldn't connect to server",
        );
    };
    if etcd.hangs(node) {
        std::future::pending::<()>().await;
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let has = |alarm| etcd.has_alarm(alarm);
    let checks: Vec<(&str, bool)> = match path {
        "/livez" => vec![("serializable_read", true)],
        "/readyz" => vec![
            ("data_corruption", !has(AlarmType::Corrupt)),
            ("serializable_read", true),
            ("linearizable_read", etcd.serves_in_time().await),
        ],
        "/health" => {
            let alarmed = has(AlarmType::Corrupt) || has(AlarmType::Nospace);
            let is_well = !alarmed && etcd.serves_in_time().await;
            let text = format!("{{\"health\":\"{is_well}\",\"reason\":\"\"}}");
            return if is_well { Output::text(text) } else { unavailable() };
        }
        _ => return Output::failure(22, "curl: (22) The requested URL returned error: 404"),
    };
    if checks.iter().any(|(_, holds)| !holds) {
        return unavailable();
    }
    if !query.contains("verbose") {
        return Output::line("ok");
    }
    Output::text(lines(checks.iter().map(|(name, _)| format!("[+]{name} ok"))) + "ok\n")
}

fn unavailable() -> Output {
    Output::failure(22, "curl: (22) The requested URL returned error: 503")
}
