//! Tests of what the panes list.

use super::*;
use crate::console::samples;
use crate::domain::ids::BudgetKey;

#[test]
fn nodes_sort_by_state_with_the_worst_first_and_names_within() {
    let mut model = samples::model();
    model.lists.nodes.sort = Column::State;
    let names: Vec<_> = visible_nodes(&model).into_iter().map(|row| row.name.0.as_str()).collect();
    assert_eq!(names, ["worker-2", "worker-1", "cp-1", "cp-2", "cp-3"], "NotReady, Cordoned, Ready by name");
    model.lists.nodes.descending = true;
    assert_eq!(visible_nodes(&model)[0].name.0, "cp-1");
}

#[test]
fn nodes_filter_by_state_and_role() {
    let mut model = samples::model();
    let count = |model: &mut Model, filter: &str| {
        model.lists.nodes.filter = filter.to_owned();
        visible_nodes(model).len()
    };
    assert_eq!(count(&mut model, "control"), 3);
    assert_eq!(count(&mut model, "cordoned"), 1);
    assert_eq!(count(&mut model, "leader"), 1);
    assert_eq!(count(&mut model, "!worker ready"), 3);
}

#[test]
fn budgets_that_never_allow_come_first() {
    let model = samples::model();
    let rows = visible_budgets(&model);
    assert_eq!(rows[0].key, BudgetKey { namespace: "team-a".into(), name: "api".into() });
    assert_eq!(
        budget_nodes(&model, rows[0]).into_keys().map(|node| node.0).collect::<Vec<_>>(),
        ["worker-1"]
    );
}

#[test]
fn the_log_filters_by_node_and_level() {
    let mut model = samples::model();
    for (level, node) in [("info", "cp-1"), ("warn", "cp-1"), ("error", "cp-2")] {
        model.log.push(samples::line(level, node, "text"));
    }
    model.lists.log.filter = "node:cp-1".to_owned();
    assert_eq!(visible_log(&model).len(), 2);
    model.lists.log.filter = "level:warn".to_owned();
    assert_eq!(visible_log(&model).len(), 2);
    model.lists.log.filter = "node:cp-1 level:error".to_owned();
    assert_eq!(visible_log(&model).len(), 0);
}
