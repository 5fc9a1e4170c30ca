//! What went wrong with an object store, in one clear sentence. Answers of a store may hold key ids and signatures:
//! only their code is repeated, never their text.

use super::Bucket;
use super::location::Scheme;
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use std::error::Error as _;

const NO_BUCKET: &str = "there is no such bucket";

/// Whether it is the bucket that was not found.
pub(super) fn is_no_bucket(error: &Error) -> bool {
    error.message == NO_BUCKET
}

/// A failed request as an error of `op`.
pub(super) fn of(op: &'static str, bucket: &Bucket, error: &object_store::Error) -> Error {
    use object_store::Error as E;
    let fail = |kind, words: &str| Error::new(kind, op, bucket.to_string(), words);
    let text = whole(error);
    let code = code(&text);
    let coded =
        |words: &str| code.as_ref().map_or_else(|| words.to_owned(), |code| format!("{words} ({code})"));
    match error {
        E::Unauthenticated { .. } => {
            fail(FailureKind::Unauthorized, &coded("the store refused the credentials"))
                .hint(credentials(bucket))
        }
        E::PermissionDenied { .. } if is_about_the_key(code.as_deref()) => {
            fail(FailureKind::Unauthorized, &coded("the store refused the credentials"))
                .hint(credentials(bucket))
        }
        // Azure says so of a key, of a firewall and of a right alike
        E::PermissionDenied { .. } if code.as_deref() == Some("AuthorizationFailure") => fail(
            FailureKind::Unauthorized,
            "the store refused the credentials, or does not take requests from here (AuthorizationFailure)",
        )
        .hint(credentials(bucket)),
        E::PermissionDenied { .. } => {
            fail(FailureKind::Forbidden, &coded("the credentials are known, but may not do this"))
                .hint("putting, reading and deleting objects under the prefix must be allowed")
        }
        E::NotFound { .. } if matches!(code.as_deref(), Some("NoSuchBucket" | "ContainerNotFound")) => {
            fail(FailureKind::NotFound, NO_BUCKET)
        }
        E::NotFound { .. } => fail(FailureKind::NotFound, &coded("not found")),
        E::AlreadyExists { .. } | E::Precondition { .. } => {
            fail(FailureKind::Conflict, "an object of that name exists already; it is not overwritten")
        }
        // from where tokens are given
        _ if is_about_the_key(code.as_deref())
            || matches!(code.as_deref(), Some("HTTP 401" | "HTTP 403")) =>
        {
            fail(FailureKind::Unauthorized, &coded("the store refused the credentials"))
                .hint(credentials(bucket))
        }
        _ => unexpected(op, bucket, error, code),
    }
}

fn unexpected(op: &'static str, bucket: &Bucket, error: &object_store::Error, code: Option<String>) -> Error {
    let fail = |kind, words: String| Error::new(kind, op, bucket.to_string(), words);
    if let Some(code) = code {
        return fail(FailureKind::Unexpected, format!("the store answered {code}"));
    }
    if op == "open" {
        // what stands in quotes may be a part of a key
        let words = root(error).to_string();
        let words = short(words.split(['"', '`', '\'']).next().unwrap_or_default());
        return fail(FailureKind::Local, format!("the credentials are not complete: {words}"))
            .hint(credentials(bucket));
    }
    let root = root(error);
    let words = root.to_string();
    if words.contains("invalid peer certificate") {
        return fail(FailureKind::Identity, format!("its certificate is not trusted: {words}"))
            .hint("name its authority in [cluster.X.snapshot.s3] ca, or in AWS_CA_BUNDLE");
    }
    let is_transport =
        root.downcast_ref::<std::io::Error>().is_some() || root.downcast_ref::<hyper::Error>().is_some();
    if is_transport || words.contains("no answer within") || words.contains("dns error") {
        return fail(
            FailureKind::Unreachable,
            format!("the store cannot be reached, or the connection was lost: {words}"),
        )
        .hint("nothing of this upload counts; check the network, then try again");
    }
    fail(FailureKind::Unexpected, short(&words))
}

/// The innermost cause.
fn root(error: &object_store::Error) -> &(dyn std::error::Error + 'static) {
    let mut root: &(dyn std::error::Error + 'static) = error;
    while let Some(inner) = root.source() {
        root = inner;
    }
    root
}

/// The first line of a text from elsewhere, and only the part that cannot hold an answer's body.
fn short(words: &str) -> String {
    words.split(['<', '\n', '{']).next().unwrap_or_default().trim().chars().take(200).collect()
}

/// The chain of an error as one text, for looking at only.
fn whole(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push('\n');
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// `<Code>X</Code>` of S3 and Azure, `"code": X` or `"error": "X"` of others, else the HTTP status.
fn code(text: &str) -> Option<String> {
    let between = |from: &str, to: &str| {
        let rest = &text[text.find(from)? + from.len()..];
        Some(rest[..rest.find(to)?].to_owned())
    };
    let plain = |code: &String| {
        !code.is_empty()
            && code.len() < 60
            && code.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    let found = between("<Code>", "</Code>").or_else(|| between("\"error\": \"", "\"")).filter(plain);
    found.or_else(|| {
        let status = between("non-2xx status code: ", " ").filter(plain)?;
        Some(format!("HTTP {status}"))
    })
}

fn is_about_the_key(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "ExpiredToken"
                | "TokenRefreshRequired"
                | "AuthenticationFailed"
                | "InvalidAuthenticationInfo"
                | "NotSignedUp"
                | "RequestTimeTooSkewed"
                | "invalid_grant"
        )
    )
}

fn credentials(bucket: &Bucket) -> &'static str {
    match bucket.scheme {
        Scheme::S3 => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in ~/.aws/credentials, and this machine's clock"
        }
        Scheme::Gs => "check GOOGLE_APPLICATION_CREDENTIALS, and this machine's clock",
        Scheme::Az => {
            "check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, and this machine's clock"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket { scheme: Scheme::S3, name: "b".into(), prefix: String::new() }
    }

    fn answered(status: &str, body: &str) -> object_store::Error {
        let text = format!("Server returned non-2xx status code: {status}: {body}");
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn only_the_code_of_an_answer_is_repeated() {
        let body =
            "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>";
        let denied =
            object_store::Error::PermissionDenied { path: "x".into(), source: body.to_owned().into() };
        let error = of("copy", &bucket(), &denied);
        assert_eq!(error.kind, FailureKind::Unauthorized);
        let words = error.to_string();
        assert!(words.contains("refused the credentials (SignatureDoesNotMatch)"), "{words}");
        assert!(!words.contains("AKIASECRET"), "{words}");
        let odd = of("copy", &bucket(), &answered("503 Service Unavailable", "AKIASECRET"));
        assert!(odd.to_string().contains("answered HTTP 503") && !odd.to_string().contains("AKIA"), "{odd}");
    }

    #[test]
    fn a_missing_bucket_is_told_from_a_missing_object() {
        let not_found = |body: &str| {
            of("copy", &bucket(), &object_store::Error::NotFound { path: "x".into(), source: body.into() })
        };
        assert!(is_no_bucket(&not_found("<Code>NoSuchBucket</Code>")));
        assert!(is_no_bucket(&not_found("<Code>ContainerNotFound</Code>")));
        assert!(!is_no_bucket(&not_found("<Code>NoSuchKey</Code>")));
    }

    #[test]
    fn incomplete_credentials_are_said_without_them() {
        let odd = "invalid type: string \"s3cr3t\", expected a map".to_owned();
        let error = object_store::Error::Generic { store: "GCS", source: odd.into() };
        let error = of("open", &Bucket { scheme: Scheme::Gs, ..bucket() }, &error);
        assert!(error.to_string().contains("not complete: invalid type: string"), "{error}");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
        assert!(error.hint.is_some_and(|hint| hint.contains("GOOGLE_APPLICATION_CREDENTIALS")));
    }

    #[test]
    fn a_lost_connection_is_said() {
        let lost = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset");
        let error = of("copy", &bucket(), &object_store::Error::Generic { store: "S3", source: lost.into() });
        assert_eq!(error.kind, FailureKind::Unreachable);
        assert!(error.to_string().contains("connection was lost"), "{error}");
    }
}
