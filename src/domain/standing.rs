//! How something that a run left changed is now, by the cluster's own word and not by the journal's.

use super::debt::{BudgetSpec, Debt, MARK};
use super::ids::NodeName;
use serde::{Deserialize, Serialize};

/// How it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As the run left it.
    Still,
    /// As it was before the run: there is nothing to put back any more.
    PutBack,
    /// Neither: somebody else has changed it since, in words.
    Changed(String),
    /// It could not be read, and why.
    Unknown(String),
}

impl Standing {
    /// In few words.
    pub fn words(&self) -> String {
        match self {
            Self::Still => "still so".to_owned(),
            Self::PutBack => "already put back".to_owned(),
            Self::Changed(words) => format!("changed since: {words}"),
            Self::Unknown(why) => format!("cannot be told: {why}"),
        }
    }
}

/// One thing that a run left, and how it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// What was left, in the words of the run.
    pub what: String,
    /// How it is now; `None` = that is nothing that could be looked up (pods that moved).
    pub now: Option<Standing>,
}

impl Leftover {
    /// In one line.
    pub fn line(&self) -> String {
        match &self.now {
            None => self.what.clone(),
            Some(now) => format!("[{}] {}", now.words(), self.what),
        }
    }
}

/// What something that was left is about, so that it can be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Something borrowed.
    Debt(Box<Debt>),
    /// A node that the run made unschedulable.
    Cordon(NodeName),
    /// A node that the run made schedulable.
    Opened(NodeName),
    /// The maintenance lock.
    Lock,
    /// Nothing that could be looked up.
    Told,
}

/// What an object from which something was borrowed says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The fields of a budget.
    Budget(BudgetSpec),
    /// A number of replicas; an autoscaler's minimum that is not set counts as the 1 that the server reads it as.
    Count(i32),
    /// The nodes that still bear a roll's mark.
    Marked(Vec<NodeName>),
    /// The object of that name is another one by now.
    Another,
    /// It does not exist any more.
    Gone,
}

impl Reading {
    /// In words, as [`Debt::found`] says it.
    pub fn words(&self) -> String {
        match self {
            Self::Budget(spec) => spec.to_string(),
            Self::Count(count) => count.to_string(),
            Self::Marked(nodes) if nodes.is_empty() => "on no node".to_owned(),
            Self::Marked(nodes) => {
                let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
                format!("on {}", names.join(", "))
            }
            Self::Another => "another one of that name".to_owned(),
            Self::Gone => "not there".to_owned(),
        }
    }
}

impl Debt {
    /// The thing that was changed: `budget shop/web`.
    pub fn title(&self) -> String {
        match self {
            Self::BudgetChanged { budget, .. } => format!("budget {budget}"),
            Self::OwnerScaled { owner, .. } => format!("{owner} replicas"),
            Self::HpaRaised { autoscaler, .. } => format!("{autoscaler} minimum"),
            Self::NodesMarked { .. } => format!("taint {MARK}"),
        }
    }

    fn before(&self) -> Reading {
        match self {
            Self::BudgetChanged { before, .. } => Reading::Budget(*before),
            Self::OwnerScaled { before, .. } => Reading::Count(*before),
            Self::HpaRaised { before, .. } => Reading::Count(before.unwrap_or(1)),
            Self::NodesMarked { .. } => Reading::Marked(Vec::new()),
        }
    }

    fn ours(&self) -> Reading {
        match self {
            Self::BudgetChanged { ours, .. } => Reading::Budget(*ours),
            Self::OwnerScaled { ours, .. } | Self::HpaRaised { ours, .. } => Reading::Count(*ours),
            Self::NodesMarked { nodes } => Reading::Marked(nodes.clone()),
        }
    }

    /// What was there before the run, in words.
    pub fn found(&self) -> String {
        self.before().words()
    }

    /// How it stands by what the object says now.
    pub fn standing(&self, now: &Reading) -> Standing {
        if *now == self.before() {
            Standing::PutBack
        } else if *now == self.ours() {
            Standing::Still
        } else {
            Standing::Changed(format!("it is {}", now.words()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Amount, Demand};

    fn spec(count: i32) -> BudgetSpec {
        BudgetSpec { demand: Demand::MinAvailable(Amount::Pods(count)), unhealthy: None }
    }

    #[test]
    fn ours_theirs_and_what_was_before_are_told_apart() {
        let debt = Debt::BudgetChanged {
            budget: crate::domain::ids::BudgetKey { namespace: "shop".into(), name: "web".into() },
            uid: "u".into(),
            before: spec(3),
            ours: spec(2),
            why: String::new(),
        };
        assert_eq!(debt.standing(&Reading::Budget(spec(2))), Standing::Still);
        assert_eq!(debt.standing(&Reading::Budget(spec(3))), Standing::PutBack);
        for other in [Reading::Budget(spec(1)), Reading::Another, Reading::Gone] {
            assert!(matches!(debt.standing(&other), Standing::Changed(_)), "{other:?}");
        }
        let line = Leftover { what: "x".into(), now: Some(Standing::Unknown("no answer".into())) }.line();
        assert_eq!(line, "[cannot be told: no answer] x");
    }
}
