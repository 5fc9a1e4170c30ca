//! What other runs and missing rights look like: the lock of somebody else, what an earlier run left, keys that are not
//! allowed, a gate that may be accepted.

use super::cluster::{FIRST, connected};
use super::{ago, send};
use pitstop::console::model::Model;
use pitstop::console::msg::{Msg, Orphan};
use pitstop::domain::access;
use pitstop::domain::guard::Request;
use pitstop::domain::ids::RunId;
use pitstop::domain::lock::LeaseRow;
use pitstop::domain::plan::Kind;
use pitstop::domain::standing::{Leftover, Standing};
use std::time::Duration;

/// Somebody else holds the maintenance lock, and keeps it alive or not.
pub fn locked(is_alive: bool) -> Model {
    let mut model = connected();
    model.known.lock = Some(LeaseRow {
        holder: "bob@there".to_owned(),
        run: Some("reboot-cp-2-20261120T025901-77aa".into()),
        step: Some("drain".to_owned()),
        node: Some("cp-2".into()),
        since: Some(ago(732)),
        renewed: Some(ago(if is_alive { 4 } else { 340 })),
        lasts: Duration::from_secs(30),
        tombstone: None,
    });
    model
}

/// No rights but to look and to cordon.
pub fn not_allowed() -> Model {
    let mut model = connected();
    let answer = |right: access::Right| {
        let is_denied = right.resource == "pods" && right.subresource == "eviction";
        let why = "needs a role with apiGroups: [\"\"], resources: [\"pods/eviction\"], verbs: [\"create\"]";
        (right, is_denied.then(|| why.to_owned()))
    };
    send(&mut model, Msg::Access(FIRST, access::all().into_iter().map(answer).collect()));
    model
}

/// What an earlier run left was looked up: one thing is still so, one was put back by somebody, one cannot be told.
pub fn left_behind() -> Model {
    let mut model = connected();
    let run = RunId::from("reboot-cp-2-20261120T025901-77aa");
    let left = [
        ("cp-2 is cordoned by this run: kubectl uncordon cp-2", Some(Standing::Still)),
        ("the maintenance lock was not given back, and nobody renews it", Some(Standing::PutBack)),
        (
            "budget payments/ledger asks for min available 1 instead of 2",
            Some(Standing::Unknown("the cluster does not answer".to_owned())),
        ),
        ("3 pods were moved away from cp-2 and do not come back by themselves", None),
    ];
    let orphan = Orphan {
        run: run.clone(),
        brief: "cp-2 is cordoned".to_owned(),
        words: "stopped at drain, in eu-west-prod-1, by ann@desk".to_owned(),
        left: left.iter().map(|(what, _)| (*what).to_owned()).collect(),
        now: Vec::new(),
        at: ago(1_900),
        context: "eu-west-prod-1".to_owned(),
        holder: "ann@desk".to_owned(),
        request: Request::new(Kind::Reboot, vec!["cp-2".into()]),
        has_asked: false,
        undo: vec!["make cp-2 schedulable again, if this run cordoned it (kubectl uncordon cp-2)".to_owned()],
        obstacle: None,
    };
    send(&mut model, Msg::Orphans(vec![orphan]));
    let now = left.map(|(what, now)| Leftover { what: what.to_owned(), now });
    send(&mut model, Msg::Stands(run, now.to_vec()));
    model
}
