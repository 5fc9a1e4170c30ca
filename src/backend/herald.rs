//! Who is told, and how: the terminal and a webhook. Console and command line share it.

use super::webhook::Webhook;
use crate::domain::notice::{Cause, Desktop, Notice, escapes, title};
use crate::domain::report::Report;
use std::time::Duration;

/// How people who look elsewhere are told. The default tells nobody.
#[derive(Debug, Clone, Default)]
pub struct Herald {
    /// What is told.
    pub on: Vec<Cause>,
    /// A step that waits in a run that is confirmed step by step is told after this time without an answer.
    pub after: Duration,
    /// Ring the terminal's bell.
    pub bell: bool,
    /// Keep the terminal's title.
    pub title: bool,
    /// Which desktop notification the terminal understands.
    pub desktop: Desktop,
    /// Where else it is posted.
    pub webhook: Option<Webhook>,
}

impl Herald {
    /// Whether a notice is wanted.
    pub fn wants(&self, notice: &Notice) -> bool {
        self.on.contains(&notice.cause)
    }

    /// What the terminal is to be sent for a notice.
    pub fn escapes(&self, notice: &Notice) -> String {
        escapes(notice, self.bell, self.desktop)
    }

    /// What the terminal is to be sent for a title; `None` = titles are left alone.
    pub fn title(&self, text: &str) -> Option<String> {
        self.title.then(|| title(text))
    }

    /// Posts a notice, when there is where to.
    ///
    /// # Errors
    /// As for [`Webhook::post`].
    pub async fn post(&self, notice: &Notice) -> Result<(), Report> {
        match &self.webhook {
            Some(webhook) => webhook.post(&format!("pitstop: {}", notice.text)).await,
            None => Ok(()),
        }
    }
}
