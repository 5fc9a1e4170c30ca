//! What a member's metrics and health answers tell of it. Pure: texts come in, rows' fields go out.
//!
//! The names are those of etcd's `server/etcdserver/metrics.go`, `server/storage/mvcc/metrics.go` and `etcdhttp/health.go`.

use crate::domain::etcd::MemberStatus;
use crate::domain::text::clean;
use crate::domain::time::Stamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// What the health port of one member says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Vitals {
    pub(super) id: Option<u64>,
    pub(super) has_leader: bool,
    pub(super) is_leader: bool,
    pub(super) is_learner: bool,
    version: String,
    db_size: u64,
    db_in_use: u64,
    quota: Option<u64>,
    committed: u64,
    applied: u64,
    revision: u64,
    /// Members that it has connections to.
    pub(super) others: BTreeSet<u64>,
    /// What its health answers complain of, in words.
    pub(super) troubles: Vec<String>,
}

impl Vitals {
    /// Reads the text form of metrics. Lines that are not known are left out.
    pub(super) fn read(text: &str) -> Self {
        let mut vitals = Self::default();
        for line in text.lines().filter(|line| line.starts_with("etcd_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            vitals.take(name, labels.trim_end_matches('}'), value);
        }
        vitals
    }

    fn take(&mut self, name: &str, labels: &str, value: f64) {
        let is_set = value > 0.0;
        match name {
            "etcd_server_id" => self.id = label(labels, "server_id").and_then(hex),
            "etcd_server_has_leader" => self.has_leader = is_set,
            "etcd_server_is_leader" => self.is_leader = is_set,
            "etcd_server_is_learner" => self.is_learner = is_set,
            "etcd_server_version" => {
                self.version = clean(label(labels, "server_version").unwrap_or_default());
            }
            "etcd_mvcc_db_total_size_in_bytes" => self.db_size = whole(value),
            "etcd_mvcc_db_total_size_in_use_in_bytes" => self.db_in_use = whole(value),
            "etcd_server_quota_backend_bytes" => self.quota = Some(whole(value)).filter(|quota| *quota > 0),
            "etcd_server_proposals_committed_total" => self.committed = whole(value),
            "etcd_server_proposals_applied_total" => self.applied = whole(value),
            "etcd_debugging_mvcc_current_revision" => self.revision = whole(value),
            "etcd_network_peer_sent_bytes_total" => self.others.extend(label(labels, "To").and_then(hex)),
            "etcd_network_active_peers" => self.others.extend(label(labels, "Remote").and_then(hex)),
            _ => {}
        }
    }

    /// Takes over what `/health` answered: `{"health":"false","reason":"ALARM NOSPACE"}`.
    pub(super) fn hear_health(&mut self, status: u16, body: &str) {
        let said: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        if status == 200 && said["health"] == "true" {
            return;
        }
        let reason = clean(said["reason"].as_str().unwrap_or_default());
        self.troubles.push(match reason.strip_prefix("ALARM ") {
            Some(alarm) => format!("alarm {alarm}"),
            None if reason.is_empty() => format!("its health port answers {status}"),
            None => format!("its health port says {}", reason.to_lowercase()),
        });
    }

    /// Takes over what `/readyz?verbose` answered; servers that do not know it are not judged by it.
    pub(super) fn hear_ready(&mut self, status: u16, body: &str) {
        if matches!(status, 200 | 404) {
            return;
        }
        let failed = body.lines().filter_map(|line| line.strip_prefix("[-]"));
        let words: Vec<String> = failed.map(|line| clean(line.trim())).collect();
        self.troubles.push(format!(
            "is not ready: {}",
            if words.is_empty() { status.to_string() } else { words.join(", ") }
        ));
    }

    /// As the member's own Status would say it, as far as it is known: the term is 0, and so is the id of a leader that is
    /// another member.
    pub(super) fn status(&self, at: Stamp, latency: Duration) -> MemberStatus {
        MemberStatus {
            at,
            latency,
            version: self.version.clone(),
            leader: self.id.filter(|_| self.is_leader).unwrap_or(0),
            term: 0,
            index: self.committed,
            applied: self.applied,
            db_size: self.db_size,
            db_in_use: self.db_in_use,
            quota: self.quota,
            revision: i64::try_from(self.revision).unwrap_or(0),
            errors: Vec::new(),
            downgrading: false,
        }
    }
}

/// The value of one label: `To="8e9e05c52164694d"`.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().filter(|id| *id > 0)
}

/// Metrics are floating-point numbers; these are counts of bytes and entries, exact up to 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and negative is 0")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP etcd_server_has_leader Whether or not a leader exists. 1 is existence, 0 is not.
# TYPE etcd_server_has_leader gauge
etcd_debugging_mvcc_current_revision 4711
etcd_mvcc_db_total_size_in_bytes 2.1487616e+07
etcd_mvcc_db_total_size_in_use_in_bytes 1.2e+07
etcd_network_active_peers{Local="8e9e05c52164694d",Remote="91bc3c398fb3c146"} 1
etcd_network_peer_sent_bytes_total{To="fd422379fda50e48"} 2.9
etcd_server_has_leader 1
etcd_server_id{server_id="8e9e05c52164694d"} 1
etcd_server_is_leader 1
etcd_server_is_learner 0
etcd_server_proposals_applied_total 90210
etcd_server_proposals_committed_total 90211
etcd_server_quota_backend_bytes 2.147483648e+09
etcd_server_version{server_version="3.5.30"} 1
go_goroutines 120
"#;

    #[test]
    fn metrics_are_read() {
        let vitals = Vitals::read(TEXT);
        assert_eq!(vitals.id, Some(0x8e9e_05c5_2164_694d));
        assert_eq!((vitals.has_leader, vitals.is_leader, vitals.is_learner), (true, true, false));
        let others: Vec<String> = vitals.others.iter().map(|id| format!("{id:x}")).collect();
        assert_eq!(others, ["91bc3c398fb3c146", "fd422379fda50e48"]);
        let status = vitals.status(Stamp(0), Duration::ZERO);
        assert_eq!(
            (status.version.as_str(), status.db_size, status.quota),
            ("3.5.30", 21_487_616, Some(2 << 30))
        );
        assert_eq!((status.index, status.applied, status.revision), (90_211, 90_210, 4711));
        assert_eq!((status.leader, status.term), (0x8e9e_05c5_2164_694d, 0));
        assert_eq!(Vitals::read("<html>not metrics</html>").id, None);
    }

    #[test]
    fn complaints_are_taken_over() {
        let mut vitals = Vitals::read(TEXT);
        vitals.hear_health(200, r#"{"health":"true","reason":""}"#);
        vitals.hear_ready(404, "404 page not found");
        assert_eq!(vitals.troubles, Vec::<String>::new());
        vitals.hear_health(503, r#"{"health":"false","reason":"ALARM NOSPACE"}"#);
        vitals.hear_ready(
            503,
            "[+]serializable_read ok\n[-]data_corruption failed: alarm activated: CORRUPT\n",
        );
        let expected = ["alarm NOSPACE", "is not ready: data_corruption failed: alarm activated: CORRUPT"];
        assert_eq!(vitals.troubles, expected);
    }
}
