//! The mark of nodes that are to come in a roll: one soft taint, added to and taken from whatever other taints a node has.

use super::Cluster;
use super::request::{Ask, path};
use super::rows::MANAGER;
use crate::backend::error::Error;
use crate::domain::debt::MARK;
use crate::domain::guard::{Change, Permit};
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use serde_json::{Value, json};

/// It keeps no pod off a node; the scheduler only prefers others.
const EFFECT: &str = "PreferNoSchedule";
/// How often a patch is tried when something else about the node changed between reading and patching it.
const ATTEMPTS: u32 = 4;

fn is_mark(taint: &Value) -> bool {
    taint["key"] == MARK && taint["effect"] == EFFECT
}

impl Cluster {
    /// Marks a node, or takes the mark away; `false` = it was so already.
    ///
    /// # Errors
    /// The node is gone, changes all the time, or may not be patched.
    pub async fn mark(&self, node: &NodeName, is_on: bool, permit: &Permit) -> Result<bool, Error> {
        permit.check(&Change::Mark(node))?;
        let to = path(&["api", "v1", "nodes", node.as_str()]);
        let op = if is_on { "mark" } else { "unmark" };
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let found: Value = self.inner.fetch(&Ask::get(op, node.as_str(), to.clone())).await?;
            let mut taints = found["spec"]["taints"].as_array().cloned().unwrap_or_default();
            if taints.iter().any(is_mark) == is_on {
                return Ok(false);
            }
            if is_on {
                taints.push(json!({"key": MARK, "effect": EFFECT}));
            } else {
                taints.retain(|taint| !is_mark(taint));
            }
            // the list is replaced as a whole: it must be the one that was read
            let body = json!({
                "metadata": {
                    "uid": found["metadata"]["uid"],
                    "resourceVersion": found["metadata"]["resourceVersion"],
                },
                "spec": {"taints": if taints.is_empty() { Value::Null } else { Value::Array(taints) }},
            });
            let ask = Ask::merge(op, node.as_str(), to.clone(), &body).query("fieldManager", MANAGER);
            match self.inner.ask(&ask).await {
                Ok(_) => return Ok(true),
                Err(error) if error.kind == FailureKind::Conflict => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let changing = || Error::new(FailureKind::Conflict, op, node.as_str(), "it changes all the time");
        Err(last.unwrap_or_else(changing))
    }
}
