//! Opens the console: from flags, configuration and environment to what it is given.

use crate::cli::Global;
use crate::config::{Preset, ThemeName};
use crate::connect::{Place, backends};
use crate::console::keymap;
use crate::console::model::{Look, Setup, Theme};
use crate::console::msg::Orphan;
use crate::console::shell::{self, Connect, ConsoleOptions};
use crate::domain::config::DrainOptions;
use crate::domain::report::Report;
use crate::domain::resume::obstacle;
use crate::domain::undo::{brief, undo};
use crate::engine::Backends;
use crate::engine::drain::Reserved;
use crate::engine::journal::{Record, list};
use crate::headless::{Exit, line};
use std::path::Path;
use std::sync::Arc;

/// Opens the console; returns when it was quit. `demo` is said in the header.
///
/// # Errors
/// The terminal cannot be used.
pub async fn open(place: Place, global: &Global, demo: Option<String>) -> Result<Exit, Report> {
    let setup = Setup {
        look: look(global, &place, &|name| std::env::var(name).ok()),
        preset: preset(global.keys.unwrap_or(place.config.keys)),
        policy: place.policy(""),
        drain: DrainOptions::default(),
        holder: crate::config::holder(),
        tells: place.config.notify.on.clone(),
        tells_after: place.config.notify.after.0,
        demo,
    };
    // a rehearsal does not wake anybody
    let herald = place.herald(setup.demo.is_none())?;
    let orphans = orphans(&place.state_dir);
    let state_dir = place.state_dir.clone();
    let place = Arc::new(place);
    // runs go on over a new connection: who has the word at a budget is of the process
    let reserved = Reserved::default();
    let connect: Connect = Arc::new(move || {
        let (place, reserved) = (Arc::clone(&place), reserved.clone());
        Box::pin(async move { Ok(Backends { reserved, ..backends(&place).await? }) })
    });
    for words in shell::run(ConsoleOptions { setup, connect, orphans, herald, state_dir }).await? {
        line(&words)?;
    }
    Ok(Exit::Done)
}

fn preset(preset: Preset) -> keymap::Preset {
    match preset {
        Preset::Pitstop => keymap::Preset::Default,
        Preset::K9s => keymap::Preset::K9s,
    }
}

/// A flag wins over `NO_COLOR`, which wins over the configuration. ASCII is also drawn when the locale is one that is
/// not UTF-8.
fn look(global: &Global, place: &Place, env: &dyn Fn(&str) -> Option<String>) -> Look {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let configured = if set("NO_COLOR").is_some() { ThemeName::Mono } else { place.config.theme };
    let theme = match global.theme.unwrap_or(configured) {
        ThemeName::Dark => Theme::Dark,
        ThemeName::Light => Theme::Light,
        ThemeName::Mono => Theme::Mono,
    };
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let is_utf8 = locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Look { theme, ascii: global.ascii || place.config.ascii || !is_utf8 }
}

/// Runs that ended otherwise than well, or not at all, and that may have left something changed.
fn orphans(state_dir: &Path) -> Vec<Orphan> {
    let records = list(state_dir).into_iter().filter_map(Result::ok);
    records.filter(Record::is_unsettled).map(|record| orphan(&record)).collect()
}

fn orphan(record: &Record) -> Orphan {
    let view = record.view.as_ref();
    let step = view.and_then(|view| Some(view.steps.get(view.current()?)?.step.kind.name()));
    let at = step.map(|step| format!("stopped at {step}, ")).unwrap_or_default();
    let holder = &record.last_header().holder;
    let plan = view.map(undo).unwrap_or_default();
    let steps = plan.steps.iter().map(|step| format!("{} ({})", step.what, step.command));
    Orphan {
        run: record.header.run.clone(),
        brief: view.map(brief).unwrap_or_default(),
        words: format!("{at}in {}, by {holder}", record.header.context),
        left: record.left(),
        now: Vec::new(),
        at: record.header.at,
        context: record.header.context.clone(),
        holder: holder.clone(),
        request: record.request(),
        has_asked: record.has_asked(),
        undo: steps.chain(plan.stays).collect(),
        obstacle: view.map_or_else(|| Some("it was killed before it did anything".to_owned()), obstacle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn place() -> Place {
        Place {
            config: Config::default(),
            kube: crate::backend::kube::KubeOptions::default(),
            is_read_only: false,
            state_dir: "state".into(),
            snapshot_to: None,
            intervals: crate::cli::Intervals::default(),
            probes: Vec::new(),
            patch: crate::cli::PatchFlags::default(),
        }
    }

    fn with(env: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn no_color_is_heard_and_a_flag_wins() {
        let mut global = Global::default();
        assert_eq!(look(&global, &place(), &with(&[("NO_COLOR", "1")])).theme, Theme::Mono);
        assert_eq!(look(&global, &place(), &with(&[("NO_COLOR", "")])).theme, Theme::Dark);
        global.theme = Some(ThemeName::Light);
        assert_eq!(look(&global, &place(), &with(&[("NO_COLOR", "1")])).theme, Theme::Light);
    }

    #[test]
    fn a_locale_without_utf8_is_drawn_in_ascii() {
        let global = Global::default();
        let ascii = |env| look(&global, &place(), &with(env)).ascii;
        assert!(!ascii(&[]) && !ascii(&[("LANG", "de_DE.UTF-8")]));
        assert!(ascii(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
    }
}
