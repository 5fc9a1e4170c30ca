//! Errors as the API server words them: `meta/v1` Status objects.

use serde_json::{Value, json};

use super::resources::Resource;

/// A refusal of the API server (wording: apimachinery `pkg/api/errors`).
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// HTTP code.
    pub code: u16,
    /// Reason, for example `NotFound`; empty when the server gives none.
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
    /// `metadata` of the answer, for a fresh continue token.
    pub metadata: Option<Value>,
    /// `details` of the answer: name, group, kind, causes.
    pub details: Option<Value>,
    /// Seconds for `details.retryAfterSeconds` and the header `Retry-After`; the header is left out when 0.
    pub retry_after: u32,
    /// Further response headers, for example those of priority and fairness.
    pub headers: Vec<(&'static str, String)>,
}

/// One invalid field of a 422.
#[derive(Debug, Clone)]
pub struct FieldError {
    /// Cause type, for example `FieldValueInvalid`.
    pub reason: &'static str,
    /// Path, for example `metadata.name`.
    pub field: String,
    /// Text after the field's path.
    pub message: String,
}

impl FieldError {
    /// `FIELD: Invalid value: VALUE: WHY`.
    pub fn invalid(field: &str, value: &Value, why: &str) -> FieldError {
        let value = match value {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        FieldError {
            reason: "FieldValueInvalid",
            field: field.to_owned(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }

    /// `FIELD: Required value: WHY`.
    pub fn required(field: &str, why: &str) -> FieldError {
        let message =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        FieldError { reason: "FieldValueRequired", field: field.to_owned(), message }
    }

    /// `FIELD: Forbidden: WHY`.
    pub fn forbidden(field: &str, why: &str) -> FieldError {
        FieldError {
            reason: "FieldValueForbidden",
            field: field.to_owned(),
            message: format!("Forbidden: {why}"),
        }
    }

    fn line(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

fn details(r: &Resource, name: &str) -> Value {
    let mut details = json!({ "name": name, "kind": r.plural });
    if !r.group.is_empty() {
        details["group"] = json!(r.group);
    }
    details
}

impl Status {
    /// An error with a code, reason and message and nothing else.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status {
            code,
            reason,
            message: message.into(),
            metadata: None,
            details: None,
            retry_after: 0,
            headers: Vec::new(),
        }
    }

    /// 404 for an object.
    pub fn not_found(r: &Resource, name: &str) -> Status {
        Status {
            details: Some(details(r, name)),
            ..Status::new(404, "NotFound", format!("{} {name:?} not found", r.qualified()))
        }
    }

    /// 404 for a path that no kind answers.
    pub fn no_such_path() -> Status {
        Status {
            details: Some(json!({})),
            ..Status::new(404, "NotFound", "the server could not find the requested resource")
        }
    }

    /// 409 for a name that is taken.
    pub fn already_exists(r: &Resource, name: &str) -> Status {
        Status {
            details: Some(details(r, name)),
            ..Status::new(409, "AlreadyExists", format!("{} {name:?} already exists", r.qualified()))
        }
    }

    /// 409 for a write or precondition that met another state.
    pub fn conflict(r: &Resource, name: &str, why: &str) -> Status {
        Status {
            details: Some(details(r, name)),
            ..Status::new(
                409,
                "Conflict",
                format!("Operation cannot be fulfilled on {} {name:?}: {why}", r.qualified()),
            )
        }
    }

    /// 409 for an old `resourceVersion`.
    pub fn modified(r: &Resource, name: &str) -> Status {
        Status::conflict(
            r,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403 for an object.
    pub fn forbidden(r: &Resource, name: &str, why: &str) -> Status {
        let what = if name.is_empty() { r.qualified() } else { format!("{} {name:?}", r.qualified()) };
        Status {
            details: Some(details(r, name)),
            ..Status::new(403, "Forbidden", format!("{what} is forbidden: {why}"))
        }
    }

    /// 422 with one cause per field.
    pub fn invalid(r: &Resource, name: &str, errors: &[FieldError]) -> Status {
        let mut details = json!({ "name": name, "kind": r.kind });
        if !r.group.is_empty() {
            details["group"] = json!(r.group);
        }
        details["causes"] = errors
            .iter()
            .map(|e| json!({ "reason": e.reason, "message": e.message, "field": e.field }))
            .collect();
        let lines: Vec<String> = errors.iter().map(FieldError::line).collect();
        let all = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = if r.group.is_empty() { r.kind.to_owned() } else { format!("{}.{}", r.kind, r.group) };
        Status {
            details: Some(details),
            ..Status::new(422, "Invalid", format!("{kind} {name:?} is invalid: {all}"))
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 500 as the server wraps an unexpected error.
    pub fn internal(message: impl std::fmt::Display) -> Status {
        Status {
            details: Some(json!({ "causes": [{ "message": message.to_string() }] })),
            ..Status::new(500, "InternalError", format!("Internal error occurred: {message}"))
        }
    }

    /// 410 for a resourceVersion that history no longer holds.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, "Expired", message)
    }

    /// The same with `details.retryAfterSeconds` (and the header, unless 0).
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Status {
        self.retry_after = seconds;
        self
    }

    /// The same with one entry in `details.causes`.
    #[must_use]
    pub fn cause(mut self, reason: &str, message: &str, field: Option<&str>) -> Status {
        let mut cause = json!({ "reason": reason, "message": message });
        if let Some(field) = field {
            cause["field"] = json!(field);
        }
        let details = self.details.get_or_insert_with(|| json!({}));
        match details.get_mut("causes").and_then(Value::as_array_mut) {
            Some(causes) => causes.push(cause),
            None => details["causes"] = json!([cause]),
        }
        self
    }

    /// The object that goes over the wire.
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
        });
        if let Some(metadata) = &self.metadata {
            value["metadata"] = metadata.clone();
        }
        if !self.reason.is_empty() {
            value["reason"] = json!(self.reason);
        }
        if self.details.is_some() || self.retry_after > 0 {
            let mut details = self.details.clone().unwrap_or_else(|| json!({}));
            if self.retry_after > 0 {
                details["retryAfterSeconds"] = json!(self.retry_after);
            }
            value["details"] = details;
        }
        value["code"] = json!(self.code);
        value
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::super::resources::{DEPLOYMENTS, PODS};
    use super::*;

    #[test]
    fn words_errors_as_the_server_does() {
        let gone = Status::not_found(&DEPLOYMENTS, "web");
        assert_eq!(gone.message, "deployments.apps \"web\" not found");
        assert_eq!(
            gone.to_value()["details"],
            json!({ "name": "web", "kind": "deployments", "group": "apps" })
        );
        let name = FieldError::invalid("metadata.name", &json!("X"), "no");
        let invalid = Status::invalid(&PODS, "X", &[name]);
        assert_eq!(invalid.message, "Pod \"X\" is invalid: metadata.name: Invalid value: \"X\": no");
        assert_eq!(invalid.code, 422);
    }

    #[test]
    fn retry_after_is_written_only_above_zero() {
        let full = Status::new(429, "TooManyRequests", "x").cause("DisruptionBudget", "y", None);
        assert_eq!(full.to_value()["details"].get("retryAfterSeconds"), None);
        assert_eq!(full.retry_after(10).to_value()["details"]["retryAfterSeconds"], 10);
    }
}
