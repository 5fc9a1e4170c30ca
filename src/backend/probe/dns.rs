//! One name, looked up: by the system, or by a server that is asked over UDP (RFC 1035, section 4).

use super::{Failure, words};
use std::net::SocketAddr;
use tokio::net::{UdpSocket, lookup_host};

/// Types of records that make an address: A, AAAA.
const KINDS: [u16; 2] = [1, 28];
/// The class Internet.
const INTERNET: u16 = 1;
/// The flag that asks a server to ask others.
const RECURSE: u16 = 0x0100;
/// Length of a message's head.
const HEAD: usize = 12;
/// The longest answer that is read.
const LONGEST: usize = 4096;

/// Looks a name up; the caller has a deadline.
pub(super) async fn look_up(server: Option<&str>, name: &str) -> Result<(), Failure> {
    let Some(server) = server else {
        let found = lookup_host((name, 0)).await.map_err(|error| words(&error))?.next();
        return found.map(drop).ok_or_else(|| "the name has no address".to_owned());
    };
    let server =
        lookup_host(server).await.map_err(|_| "the server's name cannot be resolved".to_owned())?.next();
    let server = server.ok_or("the server has no address")?;
    for kind in KINDS {
        if ask(server, name, kind).await? {
            return Ok(());
        }
    }
    Err("the name has no address".to_owned())
}

/// Whether the server knows a record of that kind.
async fn ask(server: SocketAddr, name: &str, kind: u16) -> Result<bool, Failure> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(|error| words(&error))?;
    socket.connect(server).await.map_err(|error| words(&error))?;
    let id = rand::random();
    socket.send(&question(id, name, kind)).await.map_err(|error| words(&error))?;
    let mut answer = [0; LONGEST];
    loop {
        let length = socket.recv(&mut answer).await.map_err(|error| words(&error))?;
        if let Some(known) = judge(id, &answer[..length]) {
            return known;
        }
    }
}

fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEAD + name.len() + 6);
    for word in [id, RECURSE, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        // labels of more than 63 bytes were refused before
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.as_bytes());
    }
    message.push(0);
    for word in [kind, INTERNET] {
        message.extend(word.to_be_bytes());
    }
    message
}

/// What an answer says; `None` = it is not the answer to this question.
fn judge(id: u16, message: &[u8]) -> Option<Result<bool, Failure>> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let flags = word(2)?;
    let is_answer = flags & 0x8000 != 0;
    if word(0)? != id || !is_answer || message.len() < HEAD {
        return None;
    }
    Some(match flags & 0x000f {
        // one that was cut short has answers all the same
        0 => Ok(word(6)? > 0),
        2 => Err("the server failed (SERVFAIL)".to_owned()),
        3 => Err("there is no such name (NXDOMAIN)".to_owned()),
        5 => Err("the server refused (REFUSED)".to_owned()),
        code => Err(format!("the server answered with code {code}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_as_servers_read_it() {
        let bytes = question(0x1234, "a.example.", 1);
        assert_eq!(bytes[..HEAD], [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[HEAD..], *b"\x01a\x07example\x00\x00\x01\x00\x01");
    }

    #[test]
    fn an_answer_is_judged_by_its_head() {
        let head = |id: u16, flags: u16, answers: u16| {
            [id, flags, 1, answers, 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
        };
        assert_eq!(judge(7, &head(7, 0x8180, 1)), Some(Ok(true)));
        assert_eq!(judge(7, &head(7, 0x8180, 0)), Some(Ok(false)));
        assert_eq!(judge(7, &head(7, 0x8183, 0)), Some(Err("there is no such name (NXDOMAIN)".to_owned())));
        assert_eq!(judge(7, &head(8, 0x8180, 1)), None, "of another question");
        assert_eq!(judge(7, &head(7, 0x0100, 1)), None, "a question");
        assert_eq!(judge(7, &[0, 7]), None);
    }
}
