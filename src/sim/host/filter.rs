//! Text filters for the right side of a pipe: `head`, `tail`, `grep`, `wc`.

use super::commands::{self, Output};

/// Runs the filter `name` on `stdin`.
pub fn run(name: &str, arguments: &[&str], stdin: &[u8]) -> Output {
    let text = String::from_utf8_lossy(stdin);
    let lines: Vec<&str> = text.lines().collect();
    match name {
        "head" => print(&lines[..count(arguments).min(lines.len())]),
        "tail" => print(&lines[lines.len() - count(arguments).min(lines.len())..]),
        "wc" => Output::line(lines.len().to_string()),
        _ => {
            let pattern = arguments.iter().rfind(|argument| !argument.starts_with('-')).unwrap_or(&"");
            let is_inverted = arguments.contains(&"-v");
            let found: Vec<&str> =
                lines.into_iter().filter(|line| line.contains(pattern) != is_inverted).collect();
            let status = u32::from(found.is_empty());
            let output = if arguments.contains(&"-q") { Output::default() } else { print(&found) };
            Output { status, ..output }
        }
    }
}

/// `-n 3`, `-n3` or `-3`; 10 otherwise.
fn count(arguments: &[&str]) -> usize {
    let number = |text: &str| text.trim_start_matches("-n").trim_start_matches('-').parse().ok();
    arguments.iter().find_map(|argument| number(argument)).unwrap_or(10)
}

fn print(lines: &[&str]) -> Output {
    Output::text(commands::lines(lines))
}
