//! The command line as it is typed.

use super::*;
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
fn drain_flags_are_kubectls() {
    let cli = parse(
        "pitstop run drain w1 w2 --ignore-daemonsets=false --force --grace-period=-1 --timeout=90s \
         --pod-selector app=web --skip-wait-for-delete-timeout 5 --yes",
    )
    .unwrap();
    let Some(Command::Run { target, drain, yes, .. }) = cli.command else { panic!("{cli:?}") };
    assert!(yes && target.nodes == ["w1", "w2"]);
    assert_eq!(
        DrainOptions::from(&drain),
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
    assert_eq!(DrainOptions::from(&drain), DrainOptions::default());
}

#[test]
fn what_is_not_built_is_not_offered() {
    for line in
        ["pitstop run upgrade cp-1", "pitstop run roll", "pitstop watch", "pitstop snapshot --to ftp://b/x"]
    {
        assert!(parse(line).is_err(), "{line}");
    }
    assert_eq!(parse("pitstop run reboot").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
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
