//! `curl` of the local etcd member's plain HTTP health port, 127.0.0.1:2381.

use super::Host;
use super::commands::Output;
use crate::sim::etcd::http;

/// Runs `curl` with `arguments`: `-f` fails on a bad status, `-w` prints it.
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
    let (status, mut text) = http::answer(etcd, node, path).await;
    let is_short = |argument: &&&str| argument.starts_with('-') && !argument.starts_with("--");
    let fails = arguments.iter().filter(is_short).any(|argument| argument.contains('f'));
    if fails && status >= 400 {
        return Output::failure(22, format!("curl: (22) The requested URL returned error: {status}"));
    }
    let written =
        arguments.iter().position(|argument| *argument == "-w").and_then(|at| arguments.get(at + 1));
    if let Some(form) = written {
        text.push_str(&form.replace("\\n", "\n").replace("%{http_code}", &status.to_string()));
    }
    Output::text(text)
}
