//! The command line as it is typed.

use super::*;
use crate::domain::config::DrainOptions;
use clap::CommandFactory;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn bare_pitstop_is_the_console() {
    assert!(parse("pitstop").unwrap().command.is_none());
    assert_eq!(parse("pitstop --context east").unwrap().global.context.as_deref(), Some("east"));
}

#[test]
fn quiet_times_are_by_role() {
    let line = "pitstop run reboot cp-1 --master-interval 5m --node-interval 20";
    let Some(Command::Run { intervals, .. }) = parse(line).unwrap().command else { panic!("{line}") };
    assert_eq!(intervals.control_plane, Some(Duration::from_mins(5)));
    assert_eq!(intervals.node, Some(Duration::from_secs(20)), "a bare number is seconds");
    assert!(parse("pitstop run reboot cp-1 --node-interval soon").is_err());
}

#[test]
fn drain_flags_are_kubectls() {
    let cli = parse(
        "pitstop run drain w1 w2 --ignore-daemonsets=false --force --grace-period=-1 --timeout=90s \
         --pod-selector app=web --skip-wait-for-delete-timeout 5 --yes",
    )
    .unwrap();
    let Some(Command::Run { target, drain, yes, .. }) = cli.command else { panic!("{cli:?}") };
    assert!(yes && target.nodes == ["w1", "w2"]);
    assert_eq!(
        drain.options().unwrap(),
        DrainOptions {
            ignore_daemonsets: false,
            force: true,
            timeout: Duration::from_secs(90),
            pod_selector: "app=web".into(),
            skip_wait_for_delete: Duration::from_secs(5),
            ..DrainOptions::default()
        }
    );
}

#[test]
fn without_flags_the_drain_is_as_the_console_has_it() {
    let cli = parse("pitstop plan drain w1 --ignore-daemonsets").unwrap();
    let Some(Command::Plan { drain, .. }) = cli.command else { panic!("{cli:?}") };
    assert_eq!(drain.options().unwrap(), DrainOptions::default());
}

#[test]
fn what_cannot_be_meant_is_told_in_one_sentence() {
    let told = |flags: &str| {
        let cli = match parse(&format!("pitstop run drain w1 {flags}")) {
            Ok(cli) => cli,
            Err(error) => return sentence(&error),
        };
        let Some(Command::Run { drain, .. }) = cli.command else { panic!("{cli:?}") };
        drain.options().unwrap_err().message
    };
    for (flags, words) in [
        ("--grace-period -5", "--grace-period -5 cannot be"),
        ("--timeout -5s", "invalid value '-5s' for '--timeout <TIME>'"),
        ("--skip-wait-for-delete-timeout -1", "--skip-wait-for-delete-timeout -1 cannot be"),
        ("--parallel 0", "--parallel 0 cannot be"),
        ("--pod-selector a=b,,", "--pod-selector \"a=b,,\" cannot be read"),
        ("--dry-run=maybe", "invalid value 'maybe' for '--dry-run"),
        ("--no-such-flag", "unexpected argument '--no-such-flag'"),
    ] {
        let text = told(flags);
        assert!(text.contains(words) && !text.contains('\n'), "{flags}: {text}");
    }
}

#[test]
fn dry_runs_are_named_as_kubectl_names_them() {
    for (flag, want) in [
        ("", DryRun::None),
        ("--dry-run", DryRun::Client),
        ("--dry-run=client", DryRun::Client),
        ("--dry-run=server", DryRun::Server),
        ("--dry-run=none", DryRun::None),
    ] {
        let cli = parse(&format!("pitstop run drain w1 {flag} -l a=b --chunk-size 10")).unwrap();
        let Some(Command::Run { dry_run, target, .. }) = cli.command else { panic!("{cli:?}") };
        assert_eq!((dry_run, target.selector.as_deref()), (want, Some("a=b")), "{flag}");
    }
}

#[test]
fn what_is_not_built_is_not_offered() {
    for line in ["pitstop run upgrade cp-1", "pitstop snapshot --to ftp://b/x"] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert_eq!(parse("pitstop run").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
    assert!(parse("pitstop demo --speed 0").is_err());
}

#[test]
fn help_texts() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut pages = vec![command.render_long_help().to_string()];
    for name in ["plan", "run", "snapshot", "sim", "runs"] {
        let page = command.find_subcommand_mut(name).unwrap();
        pages.push(page.render_help().to_string());
    }
    insta::assert_snapshot!(pages.join("\n=====\n"));
}
