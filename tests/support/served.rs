//! A simulated cluster that another process of the binary serves on loopback, and the binary with a home of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A served cluster; ends with the test.
pub struct Served {
    child: Child,
    dir: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    pub fn start(scenario: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = pitstop(dir.path())
            .args(["sim", "--scenario", scenario, "--speed", "50", "--dir"])
            .arg(dir.path().join("sim"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a simulated cluster");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let is_ready = lines.any(|line| line.expect("a line").contains("Ctrl-C ends it"));
        assert!(is_ready, "the simulated cluster did not start");
        Self { child, dir }
    }

    /// Where the binary keeps its files.
    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    /// Where the simulated cluster wrote how to reach it.
    pub fn sim(&self) -> PathBuf {
        self.home().join("sim")
    }

    /// The binary, on this cluster.
    pub fn command(&self) -> Command {
        let mut command = pitstop(self.home());
        command.arg("--kubeconfig").arg(self.sim().join("kubeconfig"));
        command.arg("--config").arg(self.sim().join("config.toml"));
        command
    }
}

/// The binary with a home of its own.
pub fn pitstop(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
    command.env_clear().env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command.env("USER", "ann").stdin(Stdio::null());
    command
}
