//! As much of a POSIX shell as maintenance commands use: words, quotes, `;`, `&&`, `||`, `|`, redirections to nowhere.

/// How a command follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Always.
    Always,
    /// After success.
    And,
    /// After failure.
    Or,
    /// Reads what the one before wrote.
    Pipe,
}

/// One simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simple {
    /// How it follows.
    pub link: Link,
    /// Its words, without variable assignments in front.
    pub words: Vec<String>,
    /// Standard output goes nowhere.
    pub mute_out: bool,
    /// Standard error goes nowhere.
    pub mute_err: bool,
    /// Standard error goes where standard output goes.
    pub merge_err: bool,
}

/// Why a line is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError(pub String);

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Operator(&'static str),
}

const OPERATORS: &[&str] = &["2>&1", "2>", "1>", "&&", "||", ">", "<", ";", "|", "\n"];

/// The commands of a line.
pub fn parse(line: &str) -> Result<Vec<Simple>, SyntaxError> {
    let new = |link| Simple { link, words: Vec::new(), mute_out: false, mute_err: false, merge_err: false };
    let mut commands = Vec::new();
    let mut command = new(Link::Always);
    let mut tokens = tokens(line)?.into_iter();
    while let Some(token) = tokens.next() {
        let operator = match token {
            Token::Word(word) if command.words.is_empty() && is_assignment(&word) => continue,
            Token::Word(word) => {
                command.words.push(word);
                continue;
            }
            Token::Operator(operator) => operator,
        };
        let next = match operator {
            "2>&1" => {
                command.merge_err = true;
                continue;
            }
            "2>" | "1>" | ">" | "<" => {
                let to_nowhere = tokens.next() == Some(Token::Word("/dev/null".to_owned()));
                if !to_nowhere {
                    return Err(SyntaxError("only /dev/null can be redirected to here".to_owned()));
                }
                command.mute_err |= operator == "2>";
                command.mute_out |= matches!(operator, "1>" | ">");
                continue;
            }
            "&&" => Link::And,
            "||" => Link::Or,
            "|" => Link::Pipe,
            _ => Link::Always,
        };
        commands.push(std::mem::replace(&mut command, new(next)));
    }
    commands.push(command);
    commands.retain(|command| !command.words.is_empty());
    Ok(commands)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn tokens(line: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
            tokens.push(Token::Operator(operator));
            rest = &rest[operator.len()..];
        } else {
            let (word, left) = word(rest)?;
            tokens.push(Token::Word(word));
            rest = left;
        }
        rest = rest.trim_start_matches([' ', '\t']);
    }
    Ok(tokens)
}

/// The first word of `text`, unquoted, and what follows it.
fn word(text: &str) -> Result<(String, &str), SyntaxError> {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('\''), _) => word.push(c),
            (_, '\\') => {
                let (_, escaped) = chars.next().ok_or_else(|| SyntaxError("unexpected end".to_owned()))?;
                if quote.is_some() && !matches!(escaped, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ' | '\t' | '\n' | ';' | '|' | '&' | '>' | '<') => return Ok((word, &text[at.max(1)..])),
            _ => word.push(c),
        }
    }
    match quote {
        Some(_) => Err(SyntaxError("Unterminated quoted string".to_owned())),
        None => Ok((word, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<String>> {
        parse(line).unwrap().into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn quotes_and_escapes_make_one_word() {
        assert_eq!(words(r#"cat '/etc/a b' "c\"d" e\ f''g"#), [["cat", "/etc/a b", "c\"d", "e fg"]]);
        assert!(parse("echo 'open").is_err());
    }

    #[test]
    fn lists_are_split_and_redirections_noted() {
        let commands =
            parse("LC_ALL=C test -e /x 2>/dev/null && echo yes || echo no; uname -r 2>&1").unwrap();
        let links: Vec<_> = commands.iter().map(|command| command.link).collect();
        assert_eq!(links, [Link::Always, Link::And, Link::Or, Link::Always]);
        assert_eq!(commands[0].words, ["test", "-e", "/x"]);
        assert!(commands[0].mute_err && !commands[0].mute_out && commands[3].merge_err);
        assert!(parse("echo x > /etc/passwd").is_err());
    }

    #[test]
    fn an_empty_line_is_no_command() {
        assert!(parse("  ").unwrap().is_empty());
        assert_eq!(words("true;"), [["true"]]);
    }
}
