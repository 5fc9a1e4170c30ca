//! A proxy that leads every request to one server, whatever name it is for, and a server with TLS in front of another.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use pitstop::sim::tls::{Authority, Subject};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A proxy on loopback.
pub struct Proxy {
    /// `127.0.0.1:PORT`.
    pub address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Leads to `http://HOST:PORT`; with `auth` (`USER:PASSWORD`) only who says so.
    pub async fn start(to: &str, auth: Option<&str>) -> Self {
        let to = to.trim_start_matches("http://").to_owned();
        let auth = auth.map(|auth| base64::engine::general_purpose::STANDARD.encode(auth));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address").to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(lead(near, to.clone(), auth.clone(), Arc::clone(&hears)));
            }
        });
        Self { address, heard }
    }

    /// The first line of each connection.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("lock").clone()
    }
}

async fn lead(mut near: TcpStream, to: String, auth: Option<String>, heard: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match near.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let first = text.lines().next().unwrap_or_default().to_owned();
    heard.lock().expect("lock").push(first.clone());
    let says = |auth: &String| {
        text.contains(&format!("roxy-authorization: Basic {auth}\r\n"))
            || text.contains(&format!("Proxy-Authorization: Basic {auth}\r\n"))
    };
    if !auth.as_ref().is_none_or(says) {
        let _ =
            near.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await;
        return;
    }
    let Ok(mut far) = TcpStream::connect(&to).await else { return };
    let begun = if first.starts_with("CONNECT ") {
        near.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await
    } else {
        far.write_all(&head).await
    };
    if begun.is_ok() {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}

/// Puts TLS for `name` before a server; the address, and the authority as PEM.
pub async fn with_tls(to: &str, name: &str) -> (String, String) {
    let to = to.trim_start_matches("http://").to_owned();
    let authority = Authority::generate("store-ca").expect("authority");
    let names = [name.to_owned()];
    let subject =
        Subject { common_name: name, organization: None, names: &names, server: true, client: false };
    let pair = authority.issue(&subject).expect("certificate");
    let certs = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(certs, key)
            .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address").to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let Ok(mut far) = TcpStream::connect(&to).await else { return };
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, authority.pair.cert)
}
