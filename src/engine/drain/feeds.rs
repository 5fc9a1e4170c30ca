//! What a drain listens to: pods, budgets, and its nodes.

use crate::backend::error::Error;
use crate::backend::kube::{Cluster, Feed};
use crate::domain::budget::BudgetRow;
use crate::domain::feed::Delta;
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use futures::StreamExt;
use futures::stream::{BoxStream, select_all};

/// In clusters with more pods only those of the nodes are followed, not where their replacements run.
const MOST_PODS: usize = 5_000;
/// Changes that are taken together.
const TOGETHER: usize = 256;

/// A change, or a failed attempt to hear of one.
pub(super) type Word<R> = Result<Delta<R>, Error>;

/// Words about the node of that number, or about all of them.
pub(super) type Told<R> = (Option<usize>, Word<R>);

/// The streams; they reconnect by themselves and never end.
pub(super) struct Feeds {
    pub(super) pods: BoxStream<'static, Vec<Told<PodRow>>>,
    pub(super) budgets: BoxStream<'static, Vec<Word<BudgetRow>>>,
    pub(super) nodes: BoxStream<'static, Vec<Told<NodeRow>>>,
}

fn tagged<R: Send + 'static>(feed: Feed<R>, board: Option<usize>) -> BoxStream<'static, Told<R>> {
    feed.map(move |word| (board, word)).boxed()
}

/// Whether the pods of the whole cluster can be followed: unless they are known to be too many.
pub(super) fn is_wide(cluster: &Cluster) -> bool {
    cluster.known_pods().is_none_or(|count| count <= MOST_PODS)
}

impl Feeds {
    /// Opens them.
    pub(super) fn open(cluster: &Cluster, nodes: &[NodeName], is_wide: bool) -> Self {
        let pods = if is_wide {
            vec![tagged(cluster.watch_pods(), None)]
        } else {
            let each = nodes.iter().enumerate();
            each.map(|(index, node)| tagged(cluster.watch_node_pods(node), Some(index))).collect()
        };
        let each = nodes.iter().enumerate();
        let nodes = each.map(|(index, node)| tagged(cluster.watch_node(node), Some(index)));
        Self {
            pods: select_all(pods).ready_chunks(TOGETHER).boxed(),
            budgets: cluster.watch_budgets().ready_chunks(TOGETHER).boxed(),
            nodes: select_all(nodes).ready_chunks(TOGETHER).boxed(),
        }
    }
}
