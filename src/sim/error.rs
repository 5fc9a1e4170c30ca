//! Why a simulated cluster cannot be set up.

/// Why a simulated cluster cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or key cannot be made or read.
    #[error("the simulated cluster's certificate or key is unusable: {0}")]
    Certificate(String),
    /// TLS cannot be set up.
    #[error("the simulated cluster cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A file of the directory cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no machine of that name, or it has not what was asked for.
    #[error("the simulated cluster has no control plane or machine {0:?}")]
    Unknown(String),
    /// No port of the loopback interface can be opened.
    #[error("cannot listen on the loopback interface")]
    Listen(#[source] std::io::Error),
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

impl From<russh::keys::ssh_key::Error> for Error {
    fn from(error: russh::keys::ssh_key::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}
