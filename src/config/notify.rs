//! `[notify]` and `[[cluster.X.window]]`.

use crate::backend::webhook::Webhook;
use crate::domain::notice::{Cause, Desktop};
use crate::domain::report::{FailureKind, Report};
use crate::domain::window::Window;
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The environment's variable with the webhook's address; it wins over the file.
const VARIABLE: &str = "PITSTOP_WEBHOOK";

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// How people who look elsewhere are told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// What is told.
    pub on: Vec<Cause>,
    /// A step that waits in a run that is confirmed step by step is told after this time without an answer.
    pub after: super::Span,
    /// Ring the terminal's bell.
    pub bell: bool,
    /// Keep the terminal's title.
    pub title: bool,
    /// Which desktop notification the terminal understands.
    pub desktop: Desktop,
    /// Address to which a text is posted (Slack-compatible).
    pub webhook: Option<Secret>,
    /// A file that holds the address.
    pub webhook_file: Option<PathBuf>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            on: vec![Cause::NeedsYou, Cause::Failed, Cause::Ended],
            after: super::Span(Duration::from_secs(30)),
            bell: true,
            title: true,
            desktop: Desktop::default(),
            webhook: None,
            webhook_file: None,
        }
    }
}

impl NotifyConfig {
    /// Makes the path of the address's file start at `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        self.webhook_file.iter_mut().for_each(|path| *path = super::places::resolve(path, base));
    }

    /// The webhook, if there is one: from the environment, else from the file, else as configured.
    ///
    /// # Errors
    /// The file cannot be read, or what was given is no address.
    pub fn webhook(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Webhook>, Report> {
        let address = match (env(VARIABLE).filter(|text| !text.trim().is_empty()), &self.webhook_file) {
            (Some(address), _) => Some(address),
            (None, Some(path)) => Some(std::fs::read_to_string(path).map_err(|error| {
                let words = format!("the webhook's file {} cannot be read: {error}", path.display());
                Report::new(FailureKind::Local, words)
            })?),
            (None, None) => self.webhook.as_ref().map(|secret| secret.0.clone()),
        };
        address.map(|address| Webhook::new(&address)).transpose()
    }
}

/// One maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WindowTexts")]
pub struct WindowConfig(pub Window);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowTexts {
    #[serde(default)]
    days: Vec<String>,
    from: String,
    to: String,
    zone: String,
}

impl TryFrom<WindowTexts> for WindowConfig {
    type Error = String;

    fn try_from(texts: WindowTexts) -> Result<Self, String> {
        Window::new(&texts.days, &texts.from, &texts.to, &texts.zone).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use std::path::Path;

    fn notify(text: &str) -> super::NotifyConfig {
        parse(text, Path::new("/etc/pitstop/config.toml")).unwrap().notify
    }

    #[test]
    fn the_address_is_never_shown_and_the_environment_wins() {
        let config = notify("[notify]\nwebhook = \"https://configured.example/topsecret\"\n");
        assert!(!format!("{config:?}").contains("topsecret"));
        let host = |env: Option<&str>| {
            let webhook = config.webhook(&|_| env.map(str::to_owned)).unwrap().unwrap();
            webhook.host().to_owned()
        };
        assert_eq!(host(None), "configured.example");
        assert_eq!(host(Some("https://env.example/topsecret\n")), "env.example");
        let error = config.webhook(&|_| Some("topsecret".to_owned())).unwrap_err();
        assert!(!error.line().contains("topsecret"), "{error}");
        assert!(notify("").webhook(&|_| None).unwrap().is_none());
    }

    #[test]
    fn a_window_that_is_wrong_is_named_with_its_line() {
        let text = "[[cluster.\"*\".window]]\nfrom = \"22:00\"\nto = \"5\"\nzone = \"UTC\"\n";
        let error = parse(text, Path::new("/etc/pitstop/config.toml")).unwrap_err();
        assert!(error.message.contains("\"5\" is not a time of day"), "{error}");
        let text = "[[cluster.\"*\".window]]\nfrom = \"22:00\"\nto = \"05:00\"\nzone = \"UTC\"\n";
        let config = parse(text, Path::new("/etc/pitstop/config.toml")).unwrap();
        assert_eq!(config.cluster("any").timing().windows.0.len(), 1);
    }
}
