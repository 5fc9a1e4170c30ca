//! `sudo -n`: what the operator may do without a password.

use super::commands::{Caller, Output};
use super::{Host, Sudo};
use crate::sim::credentials::SSH_USER;

/// The one command of [`Sudo::RebootOnly`].
const REBOOT: [&str; 2] = ["/usr/bin/systemctl", "reboot"];

/// Runs `sudo` with `arguments`.
pub async fn sudo(host: &Host, arguments: &[&str]) -> Output {
    let sudo = host.faults().sudo;
    let options = arguments.iter().take_while(|argument| argument.starts_with('-')).count();
    let (options, command) = arguments.split_at(options);
    let lists = options.iter().filter(|option| option.starts_with("-l") || **option == "--list").count()
        + options.iter().filter(|option| **option == "-ll").count();
    if !options.iter().any(|option| matches!(*option, "-n" | "--non-interactive")) {
        return Output::failure(
            1,
            "sudo: a terminal is required to read the password; either use the -S option to read from \
             standard input or configure an askpass helper\nsudo: a password is required",
        );
    }
    if lists > 0 {
        return list(host, sudo, lists > 1, command);
    }
    if command.is_empty() || !is_free(sudo, command) {
        return Output::failure(1, "sudo: a password is required");
    }
    let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    Box::pin(host.execute(&words, &Caller { is_root: true, ..Caller::default() })).await
}

/// Whether a command runs without a password.
fn is_free(sudo: Sudo, command: &[&str]) -> bool {
    match sudo {
        Sudo::All => true,
        Sudo::RebootOnly => command == REBOOT || command == ["systemctl", "reboot"],
        Sudo::Password | Sudo::None => false,
    }
}

/// `sudo -n -l [COMMAND]`: asks for a password unless some entry needs none.
fn list(host: &Host, sudo: Sudo, is_long: bool, command: &[&str]) -> Output {
    if matches!(sudo, Sudo::Password | Sudo::None) {
        return Output::failure(1, "sudo: a password is required");
    }
    if !command.is_empty() && !is_free(sudo, command) {
        return Output::status(1);
    }
    let (users, what) = match sudo {
        Sudo::RebootOnly => ("root", "/usr/bin/systemctl reboot"),
        _ => ("ALL", "ALL"),
    };
    if !command.is_empty() && !is_long {
        let program = command[0].rsplit('/').next().unwrap_or(command[0]);
        return Output::line(format!("/usr/bin/{program} {}", command[1..].join(" ")).trim_end().to_owned());
    }
    let name = host.machine().name();
    let entry = if is_long {
        format!(
            "\nSudoers entry: /etc/sudoers.d/ops\n    RunAsUsers: {users}\n    Options: !authenticate\n    Commands:\n\t{what}\n"
        )
    } else {
        format!("    ({users}) NOPASSWD: {what}\n")
    };
    Output::text(format!(
        "Matching Defaults entries for {SSH_USER} on {name}:\n    env_reset, mail_badpass, use_pty\n\n\
         User {SSH_USER} may run the following commands on {name}:\n{entry}"
    ))
}
