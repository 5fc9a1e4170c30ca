//! Programs on this machine: one list of words, never a shell; output line by line, with a deadline.

use super::error::Error;
use crate::domain::report::FailureKind;
use crate::domain::text::clean;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Longer lines are cut.
const MOST_LINE: u64 = 4096;
/// No password is longer.
const MOST_SECRET: u64 = 4096;

/// A template with the node's own words: `{node}` and `{address}` are replaced wherever they stand. Each word stays one word,
/// and a name from the cluster that begins like an option, or that no host can have, is refused.
pub fn fill(template: &[String], node: &str, address: Option<&str>) -> Result<Vec<String>, Error> {
    let refuse = |what: &str| Error::new(FailureKind::Denied, "fill in the command for", node, what);
    if template.is_empty() {
        return Err(refuse("the command has no words"));
    }
    let address = address.unwrap_or_default();
    let wants = |token: &str| template.iter().any(|word| word.contains(token));
    let is_plain = |text: &str| super::host::is_host_name(text);
    if wants("{node}") && !is_plain(node) {
        return Err(refuse("the node's name is none that a host can have"));
    }
    if wants("{address}") && !is_plain(address) {
        return Err(refuse("the node has no address that a host can have"));
    }
    let fill = |word: &String| word.replace("{node}", node).replace("{address}", address);
    Ok(template.iter().map(fill).collect())
}

/// Runs a program to its end and tells its lines (output and errors, cleaned) as they come; its exit status. When the deadline
/// passes it is killed.
///
/// # Errors
/// It cannot be started, it was ended by a signal, or the deadline passed: then it is not known what it has done.
pub async fn run(argv: &[String], limit: Duration, tell: mpsc::Sender<String>) -> Result<i32, Error> {
    let Some((program, words)) = argv.split_first() else {
        return Err(Error::new(FailureKind::Local, "run", "", "the command has no words"));
    };
    let fail = |kind, why: String| Error::new(kind, "run", program, why);
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| fail(FailureKind::Local, error.to_string()))?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(fail(FailureKind::Unexpected, "its output cannot be read".to_owned()));
    };
    let (mut out, mut err) = (Lines::new(out), Lines::new(err));
    let work = async {
        while !(out.is_over && err.is_over) {
            let line = tokio::select! {
                line = out.next(), if !out.is_over => line,
                line = err.next(), if !err.is_over => line,
            };
            if let Some(line) = line {
                // nobody listening is no reason to stop
                let _ = tell.send(line).await;
            }
        }
        child.wait().await
    };
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(status)) => status.code().ok_or_else(|| {
            fail(FailureKind::Timeout, "it was ended by a signal: what it has done is not known".to_owned())
        }),
        Ok(Err(error)) => Err(fail(FailureKind::Local, error.to_string())),
        Err(_) => {
            let words = format!(
                "it did not end within {} s and was killed: what it has done is not known",
                limit.as_secs()
            );
            Err(fail(FailureKind::Timeout, words))
        }
    }
}

/// Lines of a stream, cleaned; what comes without a line end is a line too.
struct Lines<R> {
    from: BufReader<R>,
    held: Vec<u8>,
    is_over: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(from: R) -> Self {
        Self { from: BufReader::new(from), held: Vec::new(), is_over: false }
    }

    /// Safe to be dropped in the middle: what was read is kept.
    async fn next(&mut self) -> Option<String> {
        loop {
            let room = MOST_LINE.saturating_sub(self.held.len() as u64).max(1);
            let read = (&mut self.from).take(room).read_until(b'\n', &mut self.held).await;
            self.is_over = !matches!(read, Ok(count) if count > 0);
            let is_line = self.held.ends_with(b"\n") || self.held.len() as u64 >= MOST_LINE;
            if is_line || (self.is_over && !self.held.is_empty()) {
                let line = clean(String::from_utf8_lossy(&self.held).trim_end());
                self.held.clear();
                return Some(line);
            }
            if self.is_over {
                return None;
            }
        }
    }
}

/// The first line that a program prints: for secrets. Nothing of it is ever in an error.
pub async fn secret(argv: &[String], limit: Duration) -> Result<Zeroizing<String>, Error> {
    let Some((program, words)) = argv.split_first() else {
        return Err(Error::new(FailureKind::Local, "run", "", "the command has no words"));
    };
    let fail = |kind, why: String| Error::new(kind, "get a password from", program, why);
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| fail(FailureKind::Local, error.to_string()))?;
    let Some(out) = child.stdout.take() else {
        return Err(fail(FailureKind::Unexpected, "its output cannot be read".to_owned()));
    };
    let work = async {
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MOST_SECRET).unwrap_or(0)));
        out.take(MOST_SECRET).read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>((text, child.wait().await?))
    };
    match tokio::time::timeout(limit, work).await {
        Ok(Ok((text, status))) if status.success() => {
            let line = text.lines().next().unwrap_or_default();
            if line.is_empty() {
                return Err(fail(FailureKind::Local, "it printed nothing".to_owned()));
            }
            Ok(Zeroizing::new(line.to_owned()))
        }
        Ok(Ok((_, status))) => Err(fail(FailureKind::Local, format!("it failed ({status})"))),
        Ok(Err(error)) => Err(fail(FailureKind::Local, error.to_string())),
        Err(_) => Err(fail(FailureKind::Timeout, format!("it did not end within {} s", limit.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn each_word_of_a_template_stays_one_word() {
        let template = argv(&["talosctl", "reboot", "-n", "{address}", "--why={node} down"]);
        let filled = fill(&template, "cp-1", Some("10.0.0.1")).expect("filled");
        assert_eq!(filled, ["talosctl", "reboot", "-n", "10.0.0.1", "--why=cp-1 down"]);
        for (name, address) in
            [("-x", "10.0.0.1"), ("cp-1", "$(reboot)"), ("cp-1", "--all"), ("a b", "10.0.0.1")]
        {
            let refused = fill(&template, name, Some(address)).expect_err(name);
            assert_eq!(refused.kind, FailureKind::Denied);
        }
    }

    #[tokio::test]
    async fn output_is_told_line_by_line_and_cleaned() {
        let (tell, mut told) = mpsc::channel(8);
        let script = "printf 'one\\n\\033[31mtwo'; printf 'three\\n' >&2; exit 3";
        let status = run(&argv(&["sh", "-c", script]), Duration::from_secs(10), tell.clone()).await;
        let mut lines: Vec<String> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        lines.sort();
        assert_eq!(
            (status.expect("ended"), lines),
            (3, vec!["[31mtwo".into(), "one".into(), "three".into()])
        );
        let late = run(&argv(&["sleep", "60"]), Duration::from_millis(50), tell.clone()).await;
        assert_eq!(late.expect_err("late").kind, FailureKind::Timeout);
        let none = run(&argv(&["/no/such/program"]), Duration::from_secs(1), tell).await;
        assert_eq!(none.expect_err("none").kind, FailureKind::Local);
    }

    #[tokio::test]
    async fn a_secret_is_the_first_line_and_in_no_error() {
        let limit = Duration::from_secs(10);
        let got = secret(&argv(&["printf", "PLANTED\\nmore"]), limit).await.expect("a secret");
        assert_eq!(got.as_str(), "PLANTED");
        let failed = secret(&argv(&["sh", "-c", "echo PLANTED; exit 1"]), limit).await.expect_err("failed");
        assert!(!format!("{failed:?}").contains("PLANTED"), "{failed}");
    }
}
