//! Where things are: the configuration file, the state directory, and who is asking.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn home() -> Option<PathBuf> {
    from_env("HOME")
}

/// `$XDG_CONFIG_HOME/pitstop/config.toml`, else `~/.config/pitstop/config.toml`.
pub fn config_path() -> Option<PathBuf> {
    let base = from_env("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    Some(base.or_else(|| Some(home()?.join(".config")))?.join("pitstop/config.toml"))
}

/// `$XDG_STATE_HOME/pitstop`, else `~/.local/state/pitstop`, else `.pitstop` here.
pub fn state_dir() -> PathBuf {
    let base = from_env("XDG_STATE_HOME").filter(|path| path.is_absolute());
    base.or_else(|| Some(home()?.join(".local/state")))
        .map_or_else(|| PathBuf::from(".pitstop"), |base| base.join("pitstop"))
}

/// `user@host`, as it is noted on nodes and in the maintenance lease.
pub fn holder() -> String {
    let user = ["PITSTOP_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "unknown".to_owned());
    crate::domain::text::clean(&format!("{user}@{host}"))
}

/// The account that runs this process, from the system's list of accounts; the bare number when it is not in it.
fn account() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("uid-{uid}")))
}

/// `~/x` at home, relative paths at `base`.
pub(super) fn resolve(path: &Path, base: &Path) -> PathBuf {
    match (path.strip_prefix("~"), home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => base.join(path),
    }
}
