//! Places by their address: `s3://bucket/prefix`, `gs://…`, `az://container/…`, `file:///dir`, or a directory.

use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place for copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory of this machine (or mounted on it).
    Directory(PathBuf),
    /// A bucket.
    Bucket(Bucket),
}

/// A bucket and the beginning of the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Whose.
    pub scheme: Scheme,
    /// The bucket (Azure: the container).
    pub name: String,
    /// What the names begin with, without slashes at its ends; may be empty.
    pub prefix: String,
}

/// The object stores that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        })
    }
}

impl Bucket {
    /// The key of a file of this name.
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.name)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() {
                Err("a place is needed".into())
            } else {
                Ok(Self::Directory(text.into()))
            };
        };
        let scheme = match scheme {
            "file" if rest.starts_with('/') => return Ok(Self::Directory(rest.into())),
            "file" => return Err(format!("{text:?} names no directory: file:///path is needed")),
            "s3" => Scheme::S3,
            "gs" => Scheme::Gs,
            "az" => Scheme::Az,
            _ => {
                return Err(format!(
                    "{text:?} is not a place that is known: s3://, gs://, az://, file:// or a directory"
                ));
            }
        };
        if rest.contains(['@', '?', '#']) {
            // a mistyped address may hold a key: it is not repeated
            return Err(format!(
                "a {scheme}:// address is {scheme}://bucket/prefix; credentials come from the environment or a file"
            ));
        }
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if name.is_empty() || prefix.split('/').any(|part| part == ".." || part == ".") {
            return Err(format!("{text:?} names no bucket: {scheme}://bucket/prefix is needed"));
        }
        Ok(Self::Bucket(Bucket { scheme, name: name.to_owned(), prefix: prefix.to_owned() }))
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Location, String> {
        text.parse()
    }

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["s3://b", "s3://b/etcd/prod", "gs://b/x", "az://c", "/var/backups", "backups"] {
            assert_eq!(of(text).expect(text).to_string(), text);
        }
        assert_eq!(of("s3://b/etcd//").expect("trimmed").to_string(), "s3://b/etcd");
        assert_eq!(of("file:///srv/x"), Ok(Location::Directory("/srv/x".into())));
        let Ok(Location::Bucket(bucket)) = of("s3://b/p") else { panic!("a bucket") };
        assert_eq!(bucket.key("a.db"), "p/a.db");
    }

    #[test]
    fn what_is_no_place_is_said() {
        assert!(of("ftp://x/y").expect_err("unknown").contains("s3://, gs://"));
        assert!(of("s3:///x").expect_err("no bucket").contains("s3://bucket/prefix"));
        assert!(of("s3://b/../c").is_err());
        assert!(of("file://host/dir").is_err());
        assert!(of("").is_err());
        let error = of("s3://AKIAEXAMPLE:s3cr3t@b/p").expect_err("a key");
        assert!(error.contains("environment") && !error.contains("s3cr3t"), "{error}");
    }
}
