//! One command line for the shell that sshd starts, from separate words.

use crate::backend::error::Error;
use crate::domain::report::FailureKind;

/// Joins words so that a POSIX shell takes them apart into the same words again.
pub(super) fn command(argv: &[&str]) -> Result<String, Error> {
    if argv.is_empty() || argv.iter().any(|word| word.contains('\0')) {
        return Err(Error::new(FailureKind::Local, "run", "", "a command needs words, without NUL"));
    }
    Ok(argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))
}

/// One word: as it is when no shell sees anything in it, else in single quotes.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_readable() {
        let line = command(&["sudo", "-n", "/usr/bin/systemctl", "reboot"]).expect("command");
        assert_eq!(line, "sudo -n /usr/bin/systemctl reboot");
        assert!(command(&[]).is_err() && command(&["a\0b"]).is_err());
    }

    #[test]
    fn a_shell_gives_the_same_words_back() {
        let words = [
            "",
            "a b",
            "$(reboot)",
            "`id`",
            "it's",
            "a;b|c&d",
            "*",
            "~",
            "\\",
            "\"",
            "a\nb",
            "x=1",
            "!",
            "ü",
        ];
        let mut argv = vec!["printf", r"%s\0"];
        argv.extend(words);
        let output = std::process::Command::new("sh")
            .args(["-c", &command(&argv).expect("command")])
            .output()
            .expect("sh");
        let text = String::from_utf8(output.stdout).expect("text");
        let back: Vec<&str> = text.strip_suffix('\0').expect("end").split('\0').collect();
        assert_eq!(back, words);
    }
}
