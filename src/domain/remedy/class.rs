//! Why an eviction is blocked: the classes, and what waiting does about each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A class of block. Several may hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Pods are on their way to Ready.
    Recovering,
    /// All pods are healthy, and all of them are needed.
    StructuralZero,
    /// Pods of the application do not get Ready.
    AppUnhealthy,
    /// A pod finds no place.
    NoCapacity,
    /// More than one budget covers the pod.
    Overlap,
    /// The budget's controller cannot compute it, or is away.
    Uncomputed,
    /// An operator owns the pods or the budget.
    OperatorOwned,
    /// Another disruption uses the room.
    UsedElsewhere,
    /// It is not the budget that holds the pod.
    NotTheBudget,
    /// The selector covers pods of several workloads.
    WideSelector,
    /// The pod can start on no other node.
    PinnedPod,
}

impl Class {
    /// `D2`: the letter and number of the class in the manual.
    pub fn code(self) -> &'static str {
        match self {
            Self::Recovering => "D1",
            Self::StructuralZero => "D2",
            Self::AppUnhealthy => "D3",
            Self::NoCapacity => "D4",
            Self::Overlap => "D5",
            Self::Uncomputed => "D6",
            Self::OperatorOwned => "D7",
            Self::UsedElsewhere => "D8",
            Self::NotTheBudget => "D9",
            Self::WideSelector => "D10",
            Self::PinnedPod => "D11",
        }
    }

    /// In few words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovering => "pods are recovering",
            Self::StructuralZero => "every pod is needed",
            Self::AppUnhealthy => "the application is not healthy",
            Self::NoCapacity => "no node takes the pod",
            Self::Overlap => "two budgets cover the pod",
            Self::Uncomputed => "the budget is not computed",
            Self::OperatorOwned => "an operator keeps it",
            Self::UsedElsewhere => "the room is used elsewhere",
            Self::NotTheBudget => "not the budget holds the pod",
            Self::WideSelector => "the selector is too wide",
            Self::PinnedPod => "the pod fits on no other node",
        }
    }
}

/// Whether the block goes away by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Yes.
    Helps,
    /// Only if something that is not known happens.
    MayHelp,
    /// However long one waits, no.
    Never,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Helps => "waiting helps",
            Self::MayHelp => "waiting may not help",
            Self::Never => "waiting never helps",
        })
    }
}

/// One class that holds, and how it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub class: Class,
    /// The block in the fewest words.
    pub brief: String,
    /// How it shows, one fact a line; the first says most.
    pub evidence: Vec<String>,
    /// What waiting does about it.
    pub waiting: Waiting,
}

impl Finding {
    /// `D2 min 1 needs 1 of 1: never`: for a row of a table.
    pub fn note(&self) -> String {
        let waiting = match self.waiting {
            Waiting::Helps => ": wait",
            Waiting::MayHelp => "",
            Waiting::Never => ": never",
        };
        format!("{} {}{waiting}", self.class.code(), self.brief)
    }

    /// `D2 every pod is needed: needs 1 of 1 (min 1)`.
    pub fn line(&self) -> String {
        let evidence = self.evidence.first().map_or("", String::as_str);
        format!("{} {}: {evidence}", self.class.code(), self.class.name())
    }
}
