//! Clusters in trouble, and what is denied there.

use super::members::{Members, healthy};
use super::rows;
use pitstop::domain::config::Policy;
use pitstop::domain::etcd::EtcdView;
use pitstop::domain::guard::{Request, Rung, World, demand};
use pitstop::domain::ids::NodeName;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::{FailureKind, Report};

/// What the ladder says to the reboot of a node.
fn asked(view: &EtcdView, node: &str) -> Result<Rung, Report> {
    let rows = ["cp-1", "cp-2", "cp-3"].map(|name| rows::node(name, "127.0.0.1"));
    let nodes = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
    let request = Request::new(Kind::Reboot, vec![NodeName::from(node)]);
    demand(&Policy::default(), &request, World { nodes: Some(&nodes), etcd: Some(view), lock: None })
}

#[tokio::test]
async fn with_one_member_stopped_the_reboot_of_another_is_denied() {
    let mut members = Members::start(3).await;
    let etcd = members.etcd();
    let view = etcd.look().await.expect("view");
    assert_eq!(asked(&view, "cp-2"), Ok(Rung::TypeName("cp-2".into())));
    members.stop(0);
    let view = members.until(&etcd, |view| healthy(view) == 2 && view.leader().is_some()).await;
    assert_eq!(view.quorum().expect("quorum").margin(), Some(0));
    let denied = asked(&view, "cp-2").expect_err("denied");
    assert_eq!(denied.kind, FailureKind::Denied);
    assert!(denied.message.contains("without cp-2 1 would be left, below the quorum of 2"), "{denied}");
    assert!(asked(&view, "cp-1").is_ok(), "the one that is away may be rebooted");
}

#[tokio::test]
async fn a_full_database_denies_the_reboot_and_says_why() {
    let members = Members::start_with(3, &["--quota-backend-bytes=8388608"]).await;
    let value = vec![b'x'; 1024 * 1024];
    let took = (0..40).take_while(|number| members.put(0, &format!("/registry/{number}"), &value)).count();
    assert!(took < 40, "the quota was never reached");
    let etcd = members.etcd();
    let view = members.until(&etcd, |view| !view.alarms().is_empty()).await;
    let concerns = view.concerns();
    assert!(
        concerns
            .iter()
            .any(|text| text.starts_with("alarm NOSPACE on cp-") && text.contains("refuses every write")),
        "{concerns:?}"
    );
    let denied = asked(&view, "cp-2").expect_err("denied");
    assert!(denied.message.contains("rebooting cp-2 is denied: etcd has an alarm NOSPACE"), "{denied}");
    assert!(denied.message.contains("etcdctl alarm disarm"), "{denied}");
    // a snapshot is what is needed now
    let dir = members.path("snapshots");
    let permit = rows::permit(Kind::Snapshot, &[]);
    let cancel = tokio_util::sync::CancellationToken::new();
    let file = etcd.snapshot(None, &dir, |_, _| {}, &cancel, &permit).await.expect("snapshot");
    assert!(file.meta.has_quorum, "{file:?}");
}

#[tokio::test]
async fn looking_leaves_no_entry_in_the_log() {
    let members = Members::start(1).await;
    let etcd = members.etcd();
    let index = |view: &EtcdView| view.members[0].status.as_ref().map(|status| status.index);
    let before = index(&etcd.look().await.expect("view"));
    for _ in 0..5 {
        etcd.look().await.expect("view");
    }
    assert_eq!(index(&etcd.look().await.expect("view")), before);
}
