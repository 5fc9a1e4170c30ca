//! How alive the API is: a small question every few seconds, on a connection of its own.

use super::Inner;
use super::request::Ask;
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two questions while all is well.
const CALM: Duration = Duration::from_secs(5);
/// Between two questions while something is wrong.
const ALARMED: Duration = Duration::from_secs(2);
/// Deadline of a question.
const LIMIT: Duration = Duration::from_secs(4);

/// Starts asking. Each answer is sent; the asking ends when nobody listens any more.
pub(super) fn start(inner: &Arc<Inner>) -> mpsc::Receiver<Result<(), Error>> {
    let (to, from) = mpsc::channel(1);
    let inner = inner.clone();
    tokio::spawn(async move {
        let asking = async {
            let mut path = "/readyz";
            loop {
                let answer = ask(&inner, &mut path).await;
                let pause = if answer.is_ok() { CALM } else { ALARMED };
                if to.send(answer).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = to.closed() => {}
            () = asking => {}
        }
    });
    from
}

/// Asks `/readyz`; where that is forbidden or unknown, `/version`, which every user may read.
async fn ask(inner: &Inner, path: &mut &'static str) -> Result<(), Error> {
    let ask = Ask::get("reach the API", "", (*path).to_owned()).within(LIMIT);
    let (code, body) = inner.raw(&ask).await?;
    match code {
        200..=299 => Ok(()),
        403 | 404 if *path == "/readyz" => {
            *path = "/version";
            inner.ask(&Ask::get("reach the API", "", (*path).to_owned()).within(LIMIT)).await.map(drop)
        }
        // told with the words for refused credentials
        401 => inner.ask(&ask).await.map(drop),
        _ => {
            let failed = failed_checks(&String::from_utf8_lossy(&body));
            let message = if failed.is_empty() {
                format!("it answered {code}")
            } else {
                format!("not ready: {failed}")
            };
            Err(Error::new(FailureKind::Unreachable, ask.op, &ask.target, message).with_code(code))
        }
    }
}

/// Names of the checks that failed: lines `[-]NAME failed: …` of `/readyz`.
fn failed_checks(text: &str) -> String {
    let names =
        text.lines().filter_map(|line| line.strip_prefix("[-]")).filter_map(|line| line.split(' ').next());
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_not_ready() {
        let text = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]etcd-readiness failed: reason withheld\nreadyz check failed";
        assert_eq!(failed_checks(text), "etcd, etcd-readiness");
        assert_eq!(failed_checks("Bad Gateway"), "");
    }
}
