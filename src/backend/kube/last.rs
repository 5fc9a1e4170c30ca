//! The last that is known of an object: its newest Event, the last line of its log. For people; nothing is decided by it.

use super::Cluster;
use super::request::{Ask, path};
use super::rows::{EventWire, Wire as _};
use super::survey::Items;
use crate::backend::error::Error;
use crate::domain::secret::scrub;
use crate::domain::text::clean;
use std::time::Duration;

/// Such questions are not waited for longer.
const LIMIT: Duration = Duration::from_secs(3);
/// No line is longer, in characters.
const LONGEST: usize = 200;

impl Cluster {
    /// The newest Event about an object, as a line: `BackOff shop/web-1: restarting failed container (x12)`.
    ///
    /// # Errors
    /// Events cannot be read.
    pub async fn last_event(&self, kind: &str, namespace: &str, name: &str) -> Result<Option<String>, Error> {
        let to = match namespace {
            "" => path(&["api", "v1", "events"]),
            namespace => path(&["api", "v1", "namespaces", namespace, "events"]),
        };
        let ask = Ask::get("read the object's events", name, to)
            .query("fieldSelector", &format!("involvedObject.kind={kind},involvedObject.name={name}"))
            .within(LIMIT);
        let found: Items<EventWire> = self.inner.fetch(&ask).await?;
        let lines = found.items.into_iter().filter_map(EventWire::row).map(|row| row.line);
        Ok(lines.max_by_key(|line| line.at).map(|line| shortened(&line.text)))
    }

    /// The last line that a pod wrote: of the container that runs, else of the one before it. Secrets are removed.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn last_log(&self, namespace: &str, name: &str) -> Result<Option<String>, Error> {
        let to = path(&["api", "v1", "namespaces", namespace, "pods", name, "log"]);
        let ask = |previous: bool| {
            let ask = Ask::get("read the pod's log", name, to.clone());
            let ask = ask.query("tailLines", "1").query("limitBytes", "4096").within(LIMIT);
            if previous { ask.query("previous", "true") } else { ask }
        };
        let now = self.inner.ask(&ask(false)).await;
        if let Ok(answer) = &now
            && let Some(line) = last_line(&answer.body)
        {
            return Ok(Some(line));
        }
        match self.inner.ask(&ask(true)).await {
            Ok(answer) => Ok(last_line(&answer.body)),
            Err(error) => now.and(Err(error)),
        }
    }
}

fn last_line(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(shortened(line))
}

fn shortened(line: &str) -> String {
    let line = scrub(&clean(line.trim()));
    let mut chars = line.chars();
    let short: String = chars.by_ref().take(LONGEST).collect();
    if chars.next().is_some() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_short_and_holds_no_secret() {
        let line = last_line(b"first\nlogin failed: password=topsecret\n\n").expect("a line");
        assert_eq!(line, "login failed: password=[removed]");
        assert_eq!(last_line("x".repeat(300).as_bytes()).expect("a line").chars().count(), LONGEST + 1);
        assert_eq!(last_line(b"\n \n"), None);
    }
}
