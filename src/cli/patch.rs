//! What runs on a host before its reboot, named on the command line.

use clap::Args;
use std::time::Duration;

/// What runs before the reboot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Reboot")]
pub struct PatchFlags {
    /// For reboot and roll: runs on the host over SSH before it reboots, as a step of its own. Words as a shell would split
    /// them; no shell sees them. '' = nothing [default: [cluster.X.reboot] patch]
    #[arg(long, value_name = "COMMAND", value_parser = Words::parse)]
    pub patch_command: Option<Words>,
    /// How long it may take [default: [cluster.X.reboot] patch_timeout]
    #[arg(long, value_name = "TIME", value_parser = super::seconds_or_span)]
    pub patch_timeout: Option<Duration>,
}

/// The words of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Words {
    /// Splits at white space outside of quotes. `'…'` keeps everything, `"…"` and words without quotes know `\` before any
    /// character. What a shell would replace stays as it is.
    ///
    /// # Errors
    /// A quote is not closed, or a `\` ends the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut word = None::<String>;
        let mut quote = None::<char>;
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match (quote, letter) {
                (Some(open), _) if letter == open => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (None | Some('"'), '\\') => {
                    let next = letters.next().ok_or("a \\ ends the command")?;
                    word.get_or_insert_default().push(next);
                }
                (None, _) if letter.is_whitespace() => words.extend(word.take()),
                _ => word.get_or_insert_default().push(letter),
            }
        }
        if let Some(open) = quote {
            return Err(format!("a {open} is not closed"));
        }
        words.extend(word);
        Ok(Self(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them_and_nothing_is_replaced() {
        let words = |text: &str| Words::parse(text).map(|words| words.0);
        let list = |list: &[&str]| Ok(list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words("sudo -n  apt-get -y upgrade"), list(&["sudo", "-n", "apt-get", "-y", "upgrade"]));
        assert_eq!(
            words(r#"sh -c 'a "b" $c' "d\"e" f\ g"#),
            list(&["sh", "-c", "a \"b\" $c", "d\"e", "f g"])
        );
        assert_eq!(words("a '' b"), list(&["a", "", "b"]));
        assert_eq!(words("  "), list(&[]));
        assert!(words("a 'b").is_err() && words("a \\").is_err());
    }
}
