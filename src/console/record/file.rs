//! A recording as a file: JSON lines. First what it is, then the state at the beginning, then one line for each message.
//!
//! Every text passes [`scrub`] on its way into the file, and a text under the name of a secret (a label
//! `db-password: …`) goes entirely.

use super::{Heard, Recording};
use crate::console::model::Model;
use crate::domain::report::{FailureKind, Report};
use crate::domain::secret::{REMOVED, is_secret_name, scrub};
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The version of the format. A file of another one is refused, and so is one of another pitstop: its `update` may
/// make other screens of the same messages.
pub const VERSION: u32 = 1;

/// Free text shorter than this is not looked for in other texts.
const SHORT: usize = 4;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub pitstop_recording: u32,
    /// The version of the program.
    pub program: String,
    /// When it was written.
    pub at: Stamp,
    /// How many messages follow.
    pub messages: usize,
}

/// The second line.
#[derive(Serialize, Deserialize)]
struct Start<M> {
    start: M,
}

impl Recording {
    /// The file's text.
    ///
    /// # Errors
    /// Something in it cannot be written as JSON.
    pub fn write(&self, at: Stamp) -> Result<String, Report> {
        let header = Header {
            pitstop_recording: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            at,
            messages: self.heard.len(),
        };
        let mut text = line(&header, &self.typed)?;
        text.push_str(&line(&Start { start: &self.start }, &self.typed)?);
        for heard in &self.heard {
            text.push_str(&line(&**heard, &self.typed)?);
        }
        Ok(text)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// It is no recording, one of another version, or damaged.
    pub fn read(text: &str) -> Result<(Header, Self), Report> {
        let refused = |words: String| Report::new(FailureKind::Local, words);
        let mut lines = text.lines().enumerate();
        let header: Header = lines
            .next()
            .and_then(|(_, line)| serde_json::from_str(line).ok())
            .ok_or_else(|| refused("it is no recording of a console".to_owned()))?;
        let program = env!("CARGO_PKG_VERSION");
        if header.pitstop_recording != VERSION || header.program != program {
            let words = format!(
                "it was recorded by pitstop {} (format {}), and this is pitstop {program} (format {VERSION})",
                scrub(&header.program),
                header.pitstop_recording
            );
            return Err(refused(words).hint("play it with the version that recorded it"));
        }
        let damaged = |at: usize, error: &serde_json::Error| refused(format!("line {}: {error}", at + 1));
        let cut = || refused(format!("it is cut off: {} messages were recorded", header.messages));
        let (at, start) = lines.next().ok_or_else(cut)?;
        let start: Start<Model> = serde_json::from_str(start).map_err(|error| damaged(at, &error))?;
        let mut heard = Vec::new();
        for (at, line) in lines {
            let one: Heard = serde_json::from_str(line).map_err(|error| damaged(at, &error))?;
            heard.push(Arc::new(one));
        }
        if heard.len() != header.messages {
            return Err(cut());
        }
        Ok((header, Self { start: start.start, heard, typed: BTreeSet::new() }))
    }
}

fn line(what: &impl Serialize, typed: &BTreeSet<String>) -> Result<String, Report> {
    let unwritable = |error: serde_json::Error| {
        Report::new(FailureKind::Unexpected, format!("the recording cannot be written as JSON: {error}"))
    };
    let mut value = serde_json::to_value(what).map_err(unwritable)?;
    clear(&mut value, typed);
    let mut text = serde_json::to_string(&value).map_err(unwritable)?;
    text.push('\n');
    Ok(text)
}

/// Takes the secrets out of all texts of a value.
fn clear(value: &mut Value, typed: &BTreeSet<String>) {
    match value {
        Value::String(text) => *text = cleared(text, typed),
        Value::Array(values) => values.iter_mut().for_each(|value| clear(value, typed)),
        Value::Object(fields) => {
            for (name, value) in std::mem::take(fields) {
                let mut value = value;
                if is_secret_name(&name) && value.is_string() {
                    value = Value::String(REMOVED.to_owned());
                } else {
                    clear(&mut value, typed);
                }
                fields.insert(cleared(&name, typed), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn cleared(text: &str, typed: &BTreeSet<String>) -> String {
    let mut text = scrub(text);
    for secret in typed.iter().filter(|secret| secret.chars().count() >= SHORT) {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), REMOVED);
        }
    }
    text
}
