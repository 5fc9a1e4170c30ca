//! What a probe asks, and how that is written as an address.

use super::super::secret::scrub;
use super::super::text::clean;
use std::fmt;

/// What is asked. An address may hold a login or a token: only [`shown`](Self::shown) is for people, logs and journals.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// A GET whose answer is 200 to 399 (as a kubelet's HTTP probe counts); no redirect is followed.
    Http {
        /// The whole address.
        url: String,
    },
    /// A connection that comes about.
    Tcp {
        /// Host name or address, IPv6 in brackets, and port.
        address: String,
    },
    /// A name that has an address.
    Dns {
        /// The server that is asked over UDP, with its port; `None` = as this machine resolves names.
        server: Option<String>,
        /// The name.
        name: String,
    },
    /// A GET through the API server's proxy to a Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name, with `https:` before it where it speaks TLS.
        name: String,
        /// Number or name of its port.
        port: String,
        /// The path, with its `/`.
        path: String,
    },
}

impl Target {
    /// Reads `http://…`, `https://…`, `tcp://host:port`, `dns://name`, `dns://server/name`,
    /// `service://namespace/name:port/path` (or `service://namespace/https:name:port/path`).
    ///
    /// # Errors
    /// A sentence that says what is expected; it does not hold the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORMS: &str = "a probe is http://…, https://…, tcp://HOST:PORT, dns://NAME, dns://SERVER/NAME or \
                             service://NAMESPACE/NAME:PORT/PATH";
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
        if rest.is_empty() || rest.chars().any(|ch| ch.is_whitespace() || ch.is_control()) {
            return Err(FORMS.to_owned());
        }
        match scheme {
            "http" | "https" => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let host = authority.rsplit('@').next().unwrap_or_default();
                if host.is_empty() || host.starts_with(':') {
                    return Err(format!("{scheme}:// needs a host"));
                }
                let url = text.split('#').next().unwrap_or_default().to_owned();
                Ok(Self::Http { url })
            }
            "tcp" => match rest.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                    Ok(Self::Tcp { address: rest.to_owned() })
                }
                _ => Err("tcp:// needs a host and a port: tcp://db.example.org:5432".to_owned()),
            },
            "dns" => dns(rest),
            "service" => service(rest),
            _ => Err(FORMS.to_owned()),
        }
    }

    /// The host, or whatever names it best in a word or two.
    pub fn host(&self) -> String {
        let text = match self {
            Self::Http { url } => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                authority.rsplit('@').next().unwrap_or_default()
            }
            Self::Tcp { address } => address,
            Self::Dns { name, .. } => name,
            Self::Service { name, .. } => name.strip_prefix("https:").unwrap_or(name),
        };
        clean(text)
    }

    /// The whole address, where all of it may stand in a journal: it has no login, nothing behind a `?`, and nothing that looks
    /// like a secret. `None` = only [`shown`](Self::shown) may.
    pub fn plain(&self) -> Option<String> {
        let shown = self.shown();
        let is_whole = Self::parse(&shown).is_ok_and(|same| same == *self);
        is_whole.then_some(shown)
    }

    /// The address without a login, without what stands behind a `?`, and without anything that looks like a secret.
    pub fn shown(&self) -> String {
        let text = match self {
            Self::Http { url } => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
                let (before, query) = rest.split_once('?').map_or((rest, ""), |(before, _)| (before, "?…"));
                let (authority, path) = before.find('/').map_or((before, ""), |at| before.split_at(at));
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}{}{query}", scrub(path))
            }
            Self::Tcp { address } => format!("tcp://{address}"),
            Self::Dns { server: Some(server), name } => format!("dns://{server}/{name}"),
            Self::Dns { server: None, name } => format!("dns://{name}"),
            Self::Service { namespace, name, port, path } => {
                let (path, query) =
                    path.split_once('?').map_or((path.as_str(), ""), |(path, _)| (path, "?…"));
                format!("service://{namespace}/{name}:{port}{}{query}", scrub(path))
            }
        };
        clean(&text)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

fn dns(rest: &str) -> Result<Target, String> {
    let wrong =
        || "dns:// needs a name: dns://NAME, or dns://SERVER/NAME to ask a server of your own".to_owned();
    let is_name = |name: &str| {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_label = |label: &str| !label.is_empty() && label.len() <= 63 && label.is_ascii();
        !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label)
    };
    let (server, name) = match rest.split_once('/') {
        None => (None, rest),
        Some((server, name)) if !server.is_empty() => (Some(with_port(server, 53)), name),
        Some((_, name)) => (None, name),
    };
    if is_name(name) { Ok(Target::Dns { server, name: name.to_owned() }) } else { Err(wrong()) }
}

/// `10.96.0.10` → `10.96.0.10:53`; what has a port keeps it.
fn with_port(host: &str, port: u16) -> String {
    let has_port = match host.rsplit_once(':') {
        Some((before, _)) if before.starts_with('[') => before.ends_with(']'),
        Some((before, _)) => !before.contains(':'),
        None => false,
    };
    match host.contains(':') && !host.starts_with('[') && !has_port {
        true => format!("[{host}]:{port}"),
        false if has_port => host.to_owned(),
        false => format!("{host}:{port}"),
    }
}

fn service(rest: &str) -> Result<Target, String> {
    let wrong =
        || "service:// needs a namespace, a name and a port: service://shop/web:80/healthz".to_owned();
    let (namespace, rest) = rest.split_once('/').ok_or_else(wrong)?;
    let (object, path) =
        rest.split_once('/').map_or((rest, "/".to_owned()), |(object, path)| (object, format!("/{path}")));
    let (name, port) = object.rsplit_once(':').ok_or_else(wrong)?;
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|ch| ch.is_ascii_alphanumeric() || "-.".contains(ch))
    };
    let bare = name.strip_prefix("https:").unwrap_or(name);
    if !is_word(namespace) || !is_word(bare) || !is_word(port) {
        return Err(wrong());
    }
    Ok(Target::Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        port: port.to_owned(),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, host, shown) in [
            ("http://web.example.org", "web.example.org", "http://web.example.org"),
            ("https://ann:pw@web:8443/a/b?token=x#y", "web:8443", "https://web:8443/a/b?…"),
            ("http://[::1]:80/x", "[::1]:80", "http://[::1]:80/x"),
            ("tcp://db:5432", "db:5432", "tcp://db:5432"),
            ("dns://example.org", "example.org", "dns://example.org"),
            (
                "dns://10.96.0.10/kubernetes.default.svc.cluster.local.",
                "kubernetes.default.svc.cluster.local.",
                "dns://10.96.0.10:53/kubernetes.default.svc.cluster.local.",
            ),
            ("dns://[::1]:5353/a.b", "a.b", "dns://[::1]:5353/a.b"),
            ("dns://fd00::a/a.b", "a.b", "dns://[fd00::a]:53/a.b"),
            ("service://shop/web:80", "web", "service://shop/web:80/"),
            ("service://shop/https:web:https/ok?k=v", "web", "service://shop/https:web:https/ok?…"),
        ] {
            let target = Target::parse(text).expect(text);
            assert_eq!((target.host().as_str(), target.shown().as_str()), (host, shown), "{text}");
            assert_eq!(format!("{target:?}"), shown);
            let is_whole = !shown.contains('?');
            assert_eq!(target.plain().as_deref(), is_whole.then_some(shown), "{text}");
        }
    }

    #[test]
    fn what_may_hold_a_secret_is_not_written_down() {
        for text in [
            "http://ann:pw@web/",
            "http://web/?key=1",
            "http://web/token=abcdef0123456789",
            "service://shop/web:80/ok?k=v",
        ] {
            assert_eq!(Target::parse(text).expect(text).plain(), None, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_without_being_shown() {
        for text in [
            "",
            "web",
            "ftp://web",
            "http://",
            "http:///x",
            "https://topsecret:pw@/x",
            "tcp://db",
            "tcp://db:0",
            "tcp://:80",
            "dns://",
            "dns://10.0.0.1/",
            "dns://a..b",
            "service://shop",
            "service://shop/web",
            "service://sh op/web:80",
            "service://shop/we%2Fb:80",
            "http://we b/topsecret",
        ] {
            let why = Target::parse(text).expect_err(text);
            assert!(!why.contains("topsecret"), "{why}");
        }
    }
}
