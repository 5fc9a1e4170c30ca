//! Label selectors in text and as objects, and field selectors with the fields each kind supports.

use serde_json::Value;

use super::request::Target;
use crate::sim::store::resources::{
    EVENTS, JOBS, NAMESPACES, NODES, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, SECRETS,
};
use crate::sim::store::{Resource, Status};

/// One condition on labels.
#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
    Above(String, i64),
    Below(String, i64),
}

impl Requirement {
    fn accepts(&self, labels: &Value) -> bool {
        let number = |key: &String| labels[key].as_str().and_then(|value| value.parse::<i64>().ok());
        match self {
            Requirement::In(key, values) => {
                labels[key].as_str().is_some_and(|v| values.iter().any(|w| w == v))
            }
            Requirement::NotIn(key, values) => {
                !labels[key].as_str().is_some_and(|v| values.iter().any(|w| w == v))
            }
            Requirement::Exists(key) => labels.get(key).is_some(),
            Requirement::Missing(key) => labels.get(key).is_none(),
            Requirement::Above(key, bound) => number(key).is_some_and(|value| value > *bound),
            Requirement::Below(key, bound) => number(key).is_some_and(|value| value < *bound),
        }
    }
}

/// A label selector as it stands in a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    /// Reads `a=b,c in (d,e),!f`; an error is the server's text.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part)?);
            }
        }
        Ok(LabelSelector(requirements))
    }

    /// Whether the labels (an object or null) meet every requirement.
    pub fn accepts(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| requirement.accepts(labels))
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement::Missing(label_key(key)?));
    }
    for (sign, positive) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = part.split_once(sign) {
            let (key, values) = (label_key(key)?, vec![label_value(value)?]);
            return Ok(if positive { Requirement::In(key, values) } else { Requirement::NotIn(key, values) });
        }
    }
    for (sign, above) in [('>', true), ('<', false)] {
        if let Some((key, value)) = part.split_once(sign) {
            let bound = value.trim().parse().map_err(|_| {
                format!("unable to parse requirement: values[0][{}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer", key.trim())
            })?;
            let key = label_key(key)?;
            return Ok(if above { Requirement::Above(key, bound) } else { Requirement::Below(key, bound) });
        }
    }
    let mut words = part.splitn(2, char::is_whitespace);
    let key = label_key(words.next().unwrap_or_default())?;
    let Some(rest) = words.next().map(str::trim) else { return Ok(Requirement::Exists(key)) };
    let (negative, list) = match (rest.strip_prefix("notin"), rest.strip_prefix("in")) {
        (Some(list), _) => (true, list),
        (None, Some(list)) => (false, list),
        (None, None) => {
            return Err(format!(
                "unable to parse requirement: found '{rest}', expected: in, notin, =, ==, !=, gt, lt"
            ));
        }
    };
    let inner = list.trim().strip_prefix('(').and_then(|l| l.strip_suffix(')'));
    let inner = inner
        .ok_or_else(|| format!("unable to parse requirement: found '{}', expected: '('", list.trim()))?;
    let values = inner.split(',').map(label_value).collect::<Result<Vec<_>, _>>()?;
    Ok(if negative { Requirement::NotIn(key, values) } else { Requirement::In(key, values) })
}

fn label_key(text: &str) -> Result<String, String> {
    let key = text.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if key.is_empty() {
        return Err("unable to parse requirement: found '', expected: identifier".to_owned());
    }
    if !key.chars().all(fits) {
        return Err(format!(
            "unable to parse requirement: <nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ));
    }
    Ok(key.to_owned())
}

fn label_value(text: &str) -> Result<String, String> {
    let value = text.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.chars().all(fits) && value.len() <= 63 {
        return Ok(value.to_owned());
    }
    Err(format!(
        "unable to parse requirement: values[0]: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    ))
}

/// Whether labels meet a `LabelSelector` object. Null selects nothing, `{}` everything; a malformed one is an error.
pub fn object_accepts(selector: &Value, labels: &Value) -> Result<bool, String> {
    let Some(selector) = selector.as_object() else { return Ok(false) };
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let equal = wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let mut fits = equal;
    for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default().to_owned();
        let values: Vec<String> = expression["values"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        let requirement = match (expression["operator"].as_str().unwrap_or_default(), values.is_empty()) {
            ("In", false) => Requirement::In(key, values),
            ("NotIn", false) => Requirement::NotIn(key, values),
            ("Exists", true) => Requirement::Exists(key),
            ("DoesNotExist", true) => Requirement::Missing(key),
            (other, _) => return Err(format!("{other:?} is not a valid label selector operator")),
        };
        fits &= requirement.accepts(labels);
    }
    Ok(fits)
}

/// A label selector object as text, as `/scale` and tables show it.
pub(super) fn object_text(selector: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({})", operator.to_lowercase(), values.join(",")),
        });
    }
    parts.join(",")
}

/// A field selector: `field=value` or `field!=value`, all of which must hold.
#[derive(Debug, Clone, Default)]
struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    fn parse(text: &str, r: &'static Resource) -> Result<FieldSelector, String> {
        let mut terms = Vec::new();
        for term in text.split(',').filter(|term| !term.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = term.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = term.split_once("==") {
                (field, true, value)
            } else if let Some((field, value)) = term.split_once('=') {
                (field, true, value)
            } else {
                return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
            };
            if !supports(r, field) {
                return Err(unsupported(r, field));
            }
            terms.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(FieldSelector(terms))
    }

    fn accepts(&self, r: &Resource, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, value)| (field_of(r, object, field) == *value) == *equal)
    }
}

/// Fields beyond name and namespace (`pkg/apis/core/v1/conversion.go` and its like).
fn own_fields(r: &Resource) -> &'static [&'static str] {
    match r {
        r if *r == PODS => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        r if *r == NODES => &["spec.unschedulable"],
        r if *r == NAMESPACES => &["status.phase"],
        r if *r == EVENTS => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "reportingController",
        ],
        r if *r == SECRETS => &["type"],
        r if *r == JOBS => &["status.successful"],
        r if *r == REPLICA_SETS || *r == REPLICATION_CONTROLLERS => &["status.replicas"],
        _ => &[],
    }
}

fn supports(r: &Resource, field: &str) -> bool {
    field == "metadata.name"
        || (field == "metadata.namespace" && r.namespaced)
        || own_fields(r).contains(&field)
}

fn unsupported(r: &Resource, field: &str) -> String {
    if own_fields(r).is_empty() {
        format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {field}")
    }
}

fn field_of(r: &Resource, object: &Value, field: &str) -> String {
    let path = match field {
        "reportingComponent" | "reportingController" => {
            let own = object["reportingComponent"].as_str().unwrap_or_default();
            return if own.is_empty() { text_at(object, "source.component") } else { own.to_owned() };
        }
        "source" => {
            let own = text_at(object, "source.component");
            return if own.is_empty() { text_at(object, "reportingComponent") } else { own };
        }
        "status.successful" => return number_text(&object["status"]["succeeded"]),
        "status.replicas" => return number_text(&object["status"]["replicas"]),
        "spec.unschedulable" | "spec.hostNetwork" => {
            let leaf = field.trim_start_matches("spec.");
            return object["spec"][leaf].as_bool().unwrap_or(false).to_string();
        }
        other => other,
    };
    if *r == EVENTS
        && let Some(rest) = path.strip_prefix("regarding.")
    {
        return text_at(object, &format!("involvedObject.{rest}"));
    }
    text_at(object, path)
}

fn number_text(value: &Value) -> String {
    value.as_i64().unwrap_or(0).to_string()
}

fn text_at(object: &Value, path: &str) -> String {
    let found = path.split('.').fold(object, |value, part| &value[part]);
    found.as_str().unwrap_or_default().to_owned()
}

/// Both selectors of a request, and the name if the path has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    name: Option<String>,
}

impl Selection {
    pub(super) fn new(
        labels: Option<&str>,
        fields: Option<&str>,
        target: &Target,
    ) -> Result<Selection, Status> {
        let labels = LabelSelector::parse(labels.unwrap_or_default()).map_err(Status::bad_request)?;
        let fields =
            FieldSelector::parse(fields.unwrap_or_default(), target.stored).map_err(Status::bad_request)?;
        Ok(Selection { labels, fields, name: target.name.clone() })
    }

    pub(super) fn is_everything(&self) -> bool {
        self.labels.0.is_empty() && self.fields.0.is_empty() && self.name.is_none()
    }

    pub(super) fn accepts(&self, r: &Resource, object: &Value) -> bool {
        self.name.as_deref().is_none_or(|name| object["metadata"]["name"] == name)
            && self.labels.accepts(&object["metadata"]["labels"])
            && self.fields.accepts(r, object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accepts(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector).unwrap().accepts(labels)
    }

    #[test]
    fn label_selectors_as_text() {
        let labels = json!({ "app": "web", "tier": "front", "size": "3" });
        for yes in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "app in (web, db)",
            "app notin (db)",
            "tier",
            "!gone",
            "size>2",
            "app=web,tier in (front,back),!gone",
            "gone notin (x)",
            "gone!=x",
        ] {
            assert!(accepts(yes, &labels), "{yes}");
        }
        for no in
            ["app=db", "app!=web", "app in (db)", "app notin (web,db)", "gone", "!app", "size<3", "gone=x"]
        {
            assert!(!accepts(no, &labels), "{no}");
        }
        for bad in ["a b", "=x", "a in x", "a=ö", "size>x"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
        assert!(!accepts("app=web", &Value::Null));
    }

    #[test]
    fn label_selectors_as_objects() {
        let labels = json!({ "app": "web" });
        assert_eq!(object_accepts(&Value::Null, &labels), Ok(false));
        assert_eq!(object_accepts(&json!({}), &labels), Ok(true));
        assert_eq!(object_accepts(&json!({ "matchLabels": { "app": "web" } }), &labels), Ok(true));
        let inside = json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["web"] }] });
        assert_eq!(object_accepts(&inside, &labels), Ok(true));
        let broken = json!({ "matchExpressions": [{ "key": "app", "operator": "Like", "values": ["w"] }] });
        assert!(object_accepts(&broken, &labels).is_err());
        assert_eq!(object_text(&inside), "app in (web)");
    }

    #[test]
    fn field_selectors_know_their_kind() {
        let pod = json!({ "metadata": { "name": "x", "namespace": "a" }, "spec": { "nodeName": "n" } });
        let fields = |text: &str| FieldSelector::parse(text, &PODS).unwrap().accepts(&PODS, &pod);
        assert!(fields("spec.nodeName=n,metadata.namespace!=b"));
        assert!(!fields("spec.nodeName!=n"));
        assert!(fields("status.phase="));
        assert_eq!(FieldSelector::parse("spec.x=1", &PODS).unwrap_err(), "field label not supported: spec.x");
        let node = json!({ "metadata": { "name": "n" }, "spec": { "unschedulable": true } });
        assert!(FieldSelector::parse("spec.unschedulable=true", &NODES).unwrap().accepts(&NODES, &node));
        let event = json!({ "involvedObject": { "name": "x" }, "source": { "component": "kubelet" } });
        let of = |text: &str| FieldSelector::parse(text, &EVENTS).unwrap().accepts(&EVENTS, &event);
        assert!(of("involvedObject.name=x,reportingComponent=kubelet,regarding.name=x"));
    }
}
