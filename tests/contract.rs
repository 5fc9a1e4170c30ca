//! What pitstop relies on in an API server, rule by rule.
//!
//! The rules run on the simulated cluster in memory, and unchanged on a real one when `PITSTOP_TEST_KUBECONFIG` names its
//! kubeconfig. A real one may be bare (API server and etcd, no controllers, no scheduler, no kubelets): pods are bound by
//! their spec, made Ready through `/status` and removed with grace 0; where nothing computes a budget's status, the rule
//! writes it itself and says on stdout which part was not checked.
//!
//! Each rule works in a namespace of its own, on a Node object of its own, and removes both.

#![expect(clippy::unwrap_used, reason = "a rule that cannot be asked has failed")]
#![expect(clippy::print_stdout, reason = "says which part of a rule was not checked")]

#[path = "contract/bench.rs"]
mod bench;
#[path = "contract/budgets.rs"]
mod budgets;
#[path = "contract/evictions.rs"]
mod evictions;
#[path = "contract/nodes.rs"]
mod nodes;
#[path = "contract/reads.rs"]
mod reads;
#[path = "contract/watches.rs"]
mod watches;
#[path = "contract/writes.rs"]
mod writes;
