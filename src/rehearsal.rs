//! The simulated cluster as a command: `pitstop sim` serves it to others, `pitstop demo` opens the console on it.

use crate::cli::{Global, Rehearsal};
use crate::config;
use crate::connect::Place;
use crate::domain::report::{FailureKind, Report};
use crate::headless::{Exit, line};
use crate::sim::{Cluster, Pace, Scenario, Served, serve as publish};
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

fn trouble(what: &str, error: &dyn Error) -> Report {
    let mut report = Report::new(FailureKind::Local, format!("{what}: {error}"));
    let mut source = error.source();
    while let Some(cause) = source {
        report = report.because(cause.to_string());
        source = cause.source();
    }
    report
}

fn start(choice: &Rehearsal) -> Result<Cluster, Report> {
    let scenario = Scenario::load(&choice.scenario)
        .map_err(|error| trouble(&format!("the scenario {:?} cannot be used", choice.scenario), &error))?;
    Cluster::start(scenario, Pace::new(choice.speed))
        .map_err(|error| trouble("the simulated cluster cannot be started", &error))
}

async fn published(cluster: &Cluster, dir: &Path) -> Result<Served, Report> {
    publish(cluster, dir).await.map_err(|error| {
        trouble(&format!("the simulated cluster cannot be served from {}", dir.display()), &error)
    })
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// The scenario is not one, or the directory or the loopback interface cannot be used.
pub async fn serve(dir: &Path, choice: &Rehearsal) -> Result<Exit, Report> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| trouble("signals cannot be caught", &error))?;
    let cluster = start(choice)?;
    let _lock = hold(dir).map_err(|report| {
        report.hint("another `pitstop sim` may be serving from it: end that one, or name another directory")
    })?;
    let served = published(&cluster, dir).await?;
    line(&format!(
        "serving scenario {} at speed {} on https://{}",
        choice.scenario, choice.speed, served.api
    ))?;
    line(&format!("  kubectl --kubeconfig {} get nodes,pods,pdb -A", served.kubeconfig.display()))?;
    line(&format!(
        "  pitstop --kubeconfig {} --config {}",
        served.kubeconfig.display(),
        served.config.display()
    ))?;
    line("Ctrl-C ends it")?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    served.end().await;
    Ok(Exit::Done)
}

/// A simulated cluster for one demo.
pub struct Stage {
    _cluster: Cluster,
    served: Served,
    dir: PathBuf,
    words: String,
    // keeps a second demo out of the directory
    _lock: File,
}

impl Stage {
    /// Starts it; its files go to `demo` in the state directory, or to a directory of its own when that is in use.
    ///
    /// # Errors
    /// As for [`serve`].
    pub async fn open(choice: &Rehearsal) -> Result<Self, Report> {
        let (dir, lock) = directory(&config::state_dir())?;
        let cluster = start(choice)?;
        let served = published(&cluster, &dir).await?;
        let words = format!("demo: {}, speed {}", choice.scenario, choice.speed);
        Ok(Self { _cluster: cluster, served, dir, words, _lock: lock })
    }

    /// How it is reached: the same way as any cluster. Flags about the look still count.
    ///
    /// # Errors
    /// The configuration that was written cannot be read.
    pub fn place(&self, given: &Global) -> Result<Place, Report> {
        let global = Global {
            kubeconfig: Some(self.served.kubeconfig.clone()),
            config: Some(self.served.config.clone()),
            read_only: given.read_only,
            probe: given.probe.clone(),
            ..Global::default()
        };
        let mut place = Place { state_dir: self.dir.join("state"), ..Place::new(&global)? };
        // what the engineer protects, and watches, by hand is so in a rehearsal too
        if given.config.is_some() {
            let config = config::load(given.config.as_deref())?;
            place.config.protected = config.protected;
            place.config.probe = config.probe;
            place.config.component = config.component;
        }
        Ok(place)
    }

    /// For the header.
    pub fn words(&self) -> String {
        self.words.clone()
    }

    /// Ends it; the files stay, with the snapshots that were taken.
    pub async fn close(self) {
        self.served.end().await;
    }
}

fn directory(state: &Path) -> Result<(PathBuf, File), Report> {
    let candidates = [state.join("demo"), state.join(format!("demo-{}", std::process::id()))];
    let mut last = None;
    for dir in candidates {
        match hold(&dir) {
            Ok(file) => return Ok((dir, file)),
            Err(report) => last = Some(report),
        }
    }
    Err(last.unwrap_or_else(|| Report::new(FailureKind::Local, "no directory for the demo")))
}

/// Keeps a second cluster out of a directory for as long as the file lives.
fn hold(dir: &Path) -> Result<File, Report> {
    std::fs::create_dir_all(dir)
        .and_then(|()| File::create(dir.join(".lock")))
        .and_then(|file| file.try_lock().map(|()| file).map_err(std::io::Error::other))
        .map_err(|error| trouble(&format!("{} cannot be used", dir.display()), &error))
}
