//! What went wrong with a member, in our words: TLS, connection, gRPC.

use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use rustls::{AlertDescription, CertificateError};
use std::error::Error as _;
use std::io;
use tonic::{Code, Status};

/// Whether a status was made on this side because the connection failed, not by the member.
pub(super) fn is_transport(status: &Status) -> bool {
    status.source().is_some()
}

/// An answer of a member as an error. The kind is decided by the code, never by the text.
pub(super) fn of_status(op: &'static str, label: &str, status: &Status) -> Error {
    if is_transport(status) {
        let mut cause: &dyn std::error::Error = status;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        return Error::new(FailureKind::Unreachable, op, label, "the connection was lost")
            .because(cause.to_string());
    }
    let kind = match status.code() {
        Code::Unavailable | Code::Aborted => FailureKind::Unreachable,
        Code::DeadlineExceeded => FailureKind::Timeout,
        Code::PermissionDenied => FailureKind::Forbidden,
        Code::Unauthenticated => FailureKind::Unauthorized,
        Code::ResourceExhausted => FailureKind::Throttled,
        Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => FailureKind::Refused,
        Code::OutOfRange => FailureKind::Gone,
        Code::NotFound => FailureKind::NotFound,
        Code::Cancelled => FailureKind::Cancelled,
        _ => FailureKind::Unexpected,
    };
    Error::new(kind, op, label, status.message())
}

/// A failed TLS handshake, or what was read instead of an answer after it.
pub(super) fn of_tls(label: &str, server_name: &str, error: &io::Error) -> Error {
    let fail = |kind, message: String| Error::new(kind, "connect to", label, message);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(defect)) => of_certificate(label, server_name, defect),
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            fail(FailureKind::Unauthorized, format!("the member refused our client certificate ({alert:?})"))
                .hint("etcd.cert must be signed by the authority that the member trusts, and not be expired")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            fail(FailureKind::Unexpected, "it does not speak TLS there".to_owned())
                .hint("check the port, or write the endpoint as http://host:port")
        }
        Some(other) => fail(FailureKind::Unexpected, format!("TLS: {other}")),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            fail(FailureKind::Unreachable, "it closed the connection during the TLS handshake".to_owned())
        }
        None => fail(FailureKind::Unreachable, error.to_string()),
    }
}

fn of_certificate(label: &str, server_name: &str, defect: &CertificateError) -> Error {
    let fail = |message: String| Error::new(FailureKind::Identity, "connect to", label, message);
    match defect {
        CertificateError::NotValidForName => fail(format!("its certificate is not for {server_name}"))
            .hint("set etcd.server_name to a name that the certificate bears"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            fail(format!("its certificate is not for {server_name}, but for {}", presented.join(", ")))
                .hint("set etcd.server_name to one of these names")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            fail("its certificate is not signed by the configured authority".to_owned())
                .hint("etcd.ca must be the authority that signed the members' certificates")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            fail("its certificate has expired".to_owned())
                .hint("renew it, for example with kubeadm certs renew")
        }
        other => fail(format!("its certificate is not valid: {other}")),
    }
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide() {
        let kind = |status: Status| of_status("ask", "cp-1", &status).kind;
        assert_eq!(kind(Status::unavailable("etcdserver: no leader")), FailureKind::Unreachable);
        assert_eq!(kind(Status::failed_precondition("etcdserver: not leader")), FailureKind::Refused);
        assert_eq!(kind(Status::out_of_range("compacted")), FailureKind::Gone);
        assert_eq!(kind(Status::permission_denied("x")), FailureKind::Forbidden);
    }

    #[test]
    fn tls_defects_are_told_apart() {
        let of = |error: rustls::Error| of_tls("cp-1", "10.0.0.1", &io::Error::other(error));
        let refused = of(rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        assert_eq!(refused.kind, FailureKind::Unauthorized);
        assert!(refused.to_string().contains("refused our client certificate"), "{refused}");
        let name = of(rustls::Error::InvalidCertificate(CertificateError::NotValidForName));
        assert_eq!(name.kind, FailureKind::Identity);
        assert!(name.to_string().contains("not for 10.0.0.1"), "{name}");
        let issuer = of(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(issuer.to_string().contains("configured authority"), "{issuer}");
    }
}
