//! The one error of all back ends: its kind decides behaviour, its words are for people.

pub use super::kube::refusal::Refusal;
use crate::domain::report::{FailureKind, Report};
use crate::domain::text::clean;
use std::fmt;
use std::time::Duration;

/// A failed call to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Decides behaviour.
    pub kind: FailureKind,
    /// What was tried, as a verb phrase: `list nodes`, `evict`.
    pub op: &'static str,
    /// On what: an object's name, a file, an address. May be empty.
    pub target: String,
    /// What came back, cleaned of control characters.
    pub message: String,
    /// The chain of reasons, outermost first, cleaned.
    pub causes: Vec<String>,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// The other side asked to come back after this time.
    pub retry_after: Option<Duration>,
    /// HTTP status or exit code, when there was one.
    pub code: Option<u16>,
    /// Why an eviction was refused, when it was one.
    pub refusal: Option<Refusal>,
}

impl Error {
    /// An error of a kind; the texts are cleaned here.
    pub fn new(
        kind: FailureKind,
        op: &'static str,
        target: impl AsRef<str>,
        message: impl AsRef<str>,
    ) -> Self {
        Self {
            kind,
            op,
            target: clean(target.as_ref()),
            message: clean(message.as_ref()),
            causes: Vec::new(),
            hint: None,
            retry_after: None,
            code: None,
            refusal: None,
        }
    }

    /// Adds a reason.
    #[must_use]
    pub fn because(mut self, cause: impl AsRef<str>) -> Self {
        self.causes.push(clean(cause.as_ref()));
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the status code.
    #[must_use]
    pub fn with_code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }

    /// The same as data that may cross into the console, a journal or JSON.
    pub fn report(&self) -> Report {
        let what = if self.target.is_empty() {
            format!("could not {}", self.op)
        } else {
            format!("could not {} {}", self.op, self.target)
        };
        let mut report = Report::new(self.kind, what);
        if !self.message.is_empty() {
            report = report.because(&self.message);
        }
        for cause in &self.causes {
            report = report.because(cause);
        }
        report.hint.clone_from(&self.hint);
        report
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report().line())
    }
}

impl std::error::Error for Error {}

impl From<Error> for Report {
    fn from(error: Error) -> Self {
        error.report()
    }
}

/// What pitstop itself refuses (a missing permit), as an error of the call that was refused.
impl From<Report> for Error {
    fn from(report: Report) -> Self {
        let mut error = Error::new(report.kind, "go on", "", report.message);
        error.causes = report.causes;
        error.hint = report.hint;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_why_and_what_next() {
        let error = Error::new(FailureKind::Forbidden, "list", "nodes", "denied\x1b[2J")
            .because("no rule")
            .hint("ask for the role");
        assert_eq!(error.to_string(), "could not list nodes: denied[2J: no rule (ask for the role)");
    }
}
