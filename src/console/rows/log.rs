//! Log lines, filtered; always in the order in which they came.

use crate::console::filter::Filter;
use crate::console::model::Model;
use crate::domain::log::{Level, LogLine, Origin};

/// The visible lines with their numbers.
pub fn visible_log(model: &Model) -> Vec<(u64, &LogLine)> {
    let filter = Filter::parse(&model.lists.log.filter, &["node", "op", "level", "from"]);
    model.log.iter().filter(|(_, line)| filter.passes(|| words(line), |key| named(line, key))).collect()
}

pub(super) fn words(line: &LogLine) -> String {
    let node = line.node.as_ref().map_or("", |node| node.as_str());
    let op = line.op.map(|op| op.to_string()).unwrap_or_default();
    [node, &op, &line.text].join(" ")
}

fn named(line: &LogLine, key: &str) -> Vec<String> {
    match key {
        "node" => line.node.iter().map(|node| node.0.clone()).collect(),
        "op" => line.op.iter().flat_map(|op| [op.0.to_string(), op.to_string()]).collect(),
        // `level:warn` shows errors too
        "level" => match line.level {
            Level::Info => vec!["info".to_owned()],
            Level::Warn => vec!["info".to_owned(), "warn".to_owned()],
            Level::Error => vec!["info".to_owned(), "warn".to_owned(), "error".to_owned()],
        },
        _ => vec![
            match line.origin {
                Origin::Operation => "operation",
                Origin::Event => "event",
                Origin::System => "system",
            }
            .to_owned(),
        ],
    }
}
