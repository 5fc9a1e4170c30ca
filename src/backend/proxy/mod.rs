//! Which proxy leads to a server, by the environment and the rules of Go's `httpproxy`, which kubectl follows; and the way through it.

mod way;

pub(super) use way::Way;

use std::net::IpAddr;

/// The variables that matter.
#[derive(Default)]
pub(super) struct Environment {
    /// `HTTPS_PROXY`.
    pub for_https: String,
    /// `HTTP_PROXY`.
    pub for_http: String,
    /// `NO_PROXY`.
    pub except: String,
}

impl Environment {
    /// Reads them; upper case wins.
    pub(super) fn read() -> Self {
        let get = |name: &str| {
            let upper = std::env::var(name).unwrap_or_default();
            if upper.is_empty() { std::env::var(name.to_lowercase()).unwrap_or_default() } else { upper }
        };
        Self { for_https: get("HTTPS_PROXY"), for_http: get("HTTP_PROXY"), except: get("NO_PROXY") }
    }

    /// The proxy for a server, as typed; `None` = go there directly.
    pub(super) fn proxy_for(&self, server: &http::Uri) -> Option<String> {
        let (proxy, port) = match server.scheme_str() {
            Some("http") => (&self.for_http, 80),
            _ => (&self.for_https, 443),
        };
        let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
        if proxy.is_empty() || self.is_excepted(host, server.port_u16().unwrap_or(port)) {
            return None;
        }
        Some(proxy.clone())
    }

    fn is_excepted(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.except.split(',').map(|entry| entry.trim().to_lowercase()).filter(|entry| !entry.is_empty()).any(
            |entry| {
                if entry == "*" {
                    return true;
                }
                if let Some((network, bits)) = entry.split_once('/') {
                    return address.is_some_and(|address| is_within(address, network, bits));
                }
                let (name, wanted) = split_port(&entry);
                if wanted.is_some_and(|wanted| wanted != port) {
                    return false;
                }
                match (address, name.parse::<IpAddr>()) {
                    (Some(address), Ok(other)) => address == other,
                    (None, Err(_)) => matches_domain(&host, name),
                    _ => false,
                }
            },
        )
    }
}

fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some(rest) = entry.strip_prefix('[')
        && let Some((host, port)) = rest.split_once(']')
    {
        return (host, port.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// `example.org` matches itself and below, `.example.org` and `*.example.org` only below.
fn matches_domain(host: &str, name: &str) -> bool {
    let below = name.strip_prefix('*').unwrap_or(name);
    if below.starts_with('.') {
        return host.ends_with(below);
    }
    host == below || host.strip_suffix(below).is_some_and(|rest| rest.ends_with('.'))
}

fn is_within(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            bits == 0 || (u32::from(a) ^ u32::from(n)) >> (32 - bits) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            bits == 0 || (u128::from(a) ^ u128::from(n)) >> (128 - bits) == 0
        }
        _ => false,
    }
}

/// Completes what may be typed as `host:port`; `socks5h` is what the client does under the name `socks5`.
pub(super) fn complete(proxy: &str) -> String {
    match proxy.split_once("://") {
        None => format!("http://{proxy}"),
        Some(("socks5h", rest)) => format!("socks5://{rest}"),
        Some(_) => proxy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_follow_go() {
        let environment = Environment {
            for_https: "proxy:3128".into(),
            for_http: String::new(),
            except: "example.org, .corp,*.lab,10.0.0.0/8,192.0.2.7,host.only:6443,[fd00::1]:443,,".into(),
        };
        let direct = |server: &str| environment.proxy_for(&server.parse().unwrap()).is_none();
        for server in [
            "https://127.0.0.1:6443",
            "https://localhost",
            "https://[::1]:6443",
            "https://example.org",
            "https://api.example.org:6443",
            "https://a.corp",
            "https://b.lab",
            "https://10.1.2.3:6443",
            "https://192.0.2.7:6443",
            "https://host.only:6443",
            "https://[fd00::1]",
            "http://elsewhere.net",
        ] {
            assert!(direct(server), "{server}");
        }
        for server in [
            "https://elsewhere.net",
            "https://badexample.org",
            "https://corp",
            "https://lab",
            "https://11.0.0.1",
            "https://host.only:443",
            "https://[fd00::1]:6443",
        ] {
            assert!(!direct(server), "{server}");
        }
    }

    #[test]
    fn proxies_are_completed() {
        assert_eq!(complete("proxy:3128"), "http://proxy:3128");
        assert_eq!(complete("socks5h://p:1080"), "socks5://p:1080");
        assert_eq!(complete("https://p"), "https://p");
    }
}
