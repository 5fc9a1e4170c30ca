//! The `pitstop` command: parse, dispatch, turn the end into an exit code.

use clap::Parser;
use pitstop::app::{self, Session};
use pitstop::cli::{Cli, Command, sentence};
use pitstop::headless::{Exit, complain, complain_in_json, notice};
use std::process::ExitCode;

fn main() -> ExitCode {
    // reports of defects, with the place where they happened; the terminal is restored by its guard
    if let Err(error) = color_eyre::install() {
        tracing::warn!("no reports of defects: {error}");
    }
    // a usage error is an error: 2 means findings
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            notice(&sentence(&error));
            return ExitCode::from(1);
        }
        Err(help) => return ExitCode::from(u8::from(help.print().is_err())),
    };
    let is_json = cli.command.as_ref().is_some_and(Command::is_json);
    let exit = Session::begin(&cli).and_then(|session| app::dispatch(cli, &session));
    let exit = exit.unwrap_or_else(|report| {
        tracing::error!("{report}");
        if is_json {
            complain_in_json(&report);
        } else {
            complain(&report);
        }
        Exit::of(report.kind)
    });
    ExitCode::from(exit.code())
}
