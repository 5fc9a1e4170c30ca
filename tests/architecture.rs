//! The import rule, the forbidden words and the file discipline, checked on the source text itself.
//!
//! The rule: `domain` knows nothing of ours; `backend` knows `domain` and the etcd messages; `engine` knows `backend`
//! too; the console's core knows only `domain`, its view the core, its shell everything below it; `sim` is an honest
//! peer and knows only the messages on the wire. `main`, `cli` and `config` tie the rooms together.

#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 500;
const MAX_FUNCTION: usize = 60;

/// A room, which rooms it may import, and which words it may not contain.
struct Room {
    name: &'static str,
    imports: &'static [&'static str],
    words: &'static [&'static str],
}

const fn room(name: &'static str, imports: &'static [&'static str], words: &'static [&'static str]) -> Room {
    Room { name, imports, words }
}

/// A word that ends in `::` stands for a crate: it is also found in `use word;`.
const ROOMS: [Room; 10] = [
    room("domain", &[], &["tokio::", "kube::", "russh::", "ratatui::", "crossterm::"]),
    room("proto", &[], &[]),
    room("backend", &["domain", "proto"], &["ratatui::", "crossterm::"]),
    room("engine", &["domain", "backend"], &["ratatui::", "crossterm::"]),
    room("core", &["domain"], &["tokio::", "kube::", "russh::", "Instant::now", "SystemTime", "crossterm::"]),
    room("view", &["core", "domain"], &["tokio::", "kube::", "russh::", "Instant::now", "SystemTime"]),
    room("shell", &["core", "view", "engine", "backend", "domain"], &[]),
    room("headless", &["engine", "backend", "domain"], &["ratatui::", "crossterm::"]),
    room("sim", &["proto"], &["ratatui::", "crossterm::"]),
    room("root", &["domain", "proto", "backend", "engine", "core", "view", "shell", "headless", "sim"], &[]),
];

/// The room of a module path (`console::view::nodes` is `view`).
fn room_of(path: &[String]) -> &'static str {
    let first = path.first().map_or("", String::as_str);
    let second = path.get(1).map_or("", String::as_str);
    match (first, second) {
        ("console", "view") => "view",
        ("console", "shell") => "shell",
        ("console", _) => "core",
        ("domain", _) => "domain",
        ("proto", _) => "proto",
        ("backend", _) => "backend",
        ("engine", _) => "engine",
        ("headless", _) => "headless",
        ("sim", _) => "sim",
        _ => "root",
    }
}

/// The module path of a file under `src`.
fn module_of(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

/// The source with comments and the insides of strings and characters blanked; lines stay where they are.
fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|ch| if *ch == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, string or character that begins at `at`; `at` when none does.
fn skip(chars: &[char], at: usize) -> usize {
    let next = |ahead: usize| chars.get(at + ahead).copied().unwrap_or('\0');
    let until = |from: usize, stop: &dyn Fn(usize) -> bool| (from..chars.len()).find(|&i| stop(i));
    let end = chars.len();
    let before_is_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], next(1)) {
        ('/', '/') => until(at, &|i| chars[i] == '\n').unwrap_or(end),
        ('/', '*') => {
            let (mut depth, mut i) = (1, at + 2);
            while i < end && depth > 0 {
                match (chars[i], chars.get(i + 1)) {
                    ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
                    ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
                    _ => i += 1,
                }
            }
            i
        }
        ('r', '"' | '#') if !before_is_name || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|ch| **ch == '#').count();
            if next(1 + hashes) != '"' {
                return at;
            }
            let closes = |i: usize| {
                chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
            };
            until(at + hashes + 2, &closes).map_or(end, |i| i + 1 + hashes)
        }
        ('"', _) => {
            let mut i = at + 1;
            while i < end && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            (i + 1).min(end)
        }
        ('\'', '\\') => until(at + 3, &|i| chars[i] == '\'').map_or(end, |i| i + 1),
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn is_name(ch: char) -> bool {
    ch.is_alphanumeric() || ch == '_'
}

/// Names and single signs of blanked code, each with its line; `::` is one sign.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let length = if is_name(first) {
                rest.find(|ch| !is_name(ch)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push((number + 1, rest[..length].to_owned()));
            }
            rest = &rest[length..];
        }
    }
    tokens
}

/// All paths of a `use` tree (or one plain path) that begins at `at`, below `base`.
fn paths(tokens: &[(usize, String)], at: &mut usize, base: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    while let Some((_, token)) = tokens.get(*at) {
        match token.as_str() {
            "super" => {
                path.pop();
            }
            "self" => {}
            "{" => {
                *at += 1;
                while let Some((_, token)) = tokens.get(*at) {
                    match token.as_str() {
                        "}" => break,
                        "," => *at += 1,
                        _ => paths(tokens, at, &path, found),
                    }
                }
                *at += 1;
                return;
            }
            name if name.starts_with(is_name) => path.push(name.to_owned()),
            _ => *at += 1,
        }
        if tokens.get(*at).is_some_and(|(_, token)| token.starts_with(is_name)) {
            *at += 1;
        }
        if tokens.get(*at).is_some_and(|(_, token)| token == "::") {
            *at += 1;
            continue;
        }
        // `as name` ends a path too
        while tokens.get(*at).is_some_and(|(_, token)| token == "as" || token == "_") {
            *at += 1;
        }
        break;
    }
    found.push(path);
}

/// Every path from `crate` or `super`, with its line.
fn imports(file: &Path, code: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(code);
    let mut module = module_of(file);
    let (mut depth, mut inner) = (0_usize, Vec::new());
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        let follows = |text: &str| tokens.get(at + 1).is_some_and(|(_, token)| token == text);
        match token.as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|(_, token)| token == "{") => {
                module.push(tokens[at + 1].1.clone());
                inner.push(depth);
                at += 2;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inner.last() == Some(&depth) {
                    inner.pop();
                    module.pop();
                }
            }
            "crate" | "super" if follows("::") => {
                let base = if token == "crate" { Vec::new() } else { module.clone() };
                at += usize::from(token == "crate") * 2;
                let mut all = Vec::new();
                paths(&tokens, &mut at, &base, &mut all);
                found.extend(all.into_iter().map(|path| (*line, path)));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Functions longer than the limit: line, name and length.
fn long_functions(code: &str) -> Vec<(usize, String, usize)> {
    let tokens = tokens(code);
    let mut long = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [(line, word), (_, name)] = pair else { continue };
        if word != "fn" || !name.starts_with(is_name) {
            continue;
        }
        let (mut round, mut depth) = (0_i32, 0_i32);
        for (end, token) in &tokens[at..] {
            match token.as_str() {
                "(" | "[" => round += 1,
                ")" | "]" => round -= 1,
                ";" if round == 0 && depth == 0 => break,
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => continue,
            }
            if token == "}" && depth == 0 && round == 0 {
                let length = end - line + 1;
                if length > MAX_FUNCTION {
                    long.push((*line, name.clone(), length));
                }
                break;
            }
        }
    }
    long
}

/// Whether blanked code contains a forbidden word as a whole name.
fn line_with(code: &str, word: &str) -> Option<usize> {
    let krate = word.strip_suffix("::");
    code.lines()
        .position(|line| {
            let plain = krate.is_some_and(|name| line.trim() == format!("use {name};"));
            plain
                || line.match_indices(word).any(|(at, _)| {
                    let before = &line[..at];
                    !(before.ends_with(is_name) || krate.is_some() && before.ends_with("::"))
                })
        })
        .map(|at| at + 1)
}

/// What is wrong with one file, a line each.
fn complaints(file: &Path, source: &str) -> Vec<String> {
    let name = file.display();
    let mut all = Vec::new();
    if !source.trim_start().starts_with("//!") {
        all.push(format!("{name}: does not begin with a //! that says what it is for"));
    }
    let lines = source.lines().count();
    if lines > MAX_LINES {
        all.push(format!("{name}: {lines} lines, more than {MAX_LINES}"));
    }
    let code = code_of(source);
    let generated = file == Path::new("src/proto.rs");
    for word in ["#[allow(", "#![allow(", "#[ignore"] {
        if let Some(line) = code.lines().position(|line| line.contains(word)).filter(|_| !generated) {
            all.push(format!("{name}:{}: {word}: fix the cause, or expect it with a reason", line + 1));
        }
    }
    for (line, function, length) in long_functions(&code) {
        all.push(format!("{name}:{line}: fn {function} has {length} lines, more than {MAX_FUNCTION}"));
    }
    if file.starts_with("src") {
        all.extend(room_complaints(file, &code));
    }
    all
}

fn room_complaints(file: &Path, code: &str) -> Vec<String> {
    let name = file.display();
    let own = room_of(&module_of(file));
    let Some(room) = ROOMS.iter().find(|room| room.name == own) else {
        return vec![format!("{name}: belongs to no room")];
    };
    let mut all = Vec::new();
    for (line, path) in imports(file, code) {
        let other = room_of(&path);
        if other != own && !room.imports.contains(&other) {
            all.push(format!("{name}:{line}: {own} must not import {other} ({})", path.join("::")));
        }
    }
    for word in room.words {
        // keys reach the core as data of the terminal library: its one door is the keymap
        if *word == "crossterm::" && own == "core" && file.starts_with("src/console/keymap")
            || *word == "crossterm::" && file == Path::new("src/console/keymap.rs")
        {
            continue;
        }
        if let Some(line) = line_with(code, word) {
            all.push(format!("{name}:{line}: {own} must not contain {word}"));
        }
    }
    all
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches"].map(|dir| root.join(dir)).iter().filter(|dir| dir.is_dir()) {
        sources(dir, &mut files);
    }
    files.sort();
    assert!(files.len() > 30, "only {} files found under {}", files.len(), root.display());
    let mut report = String::new();
    for path in &files {
        let source = std::fs::read_to_string(path).unwrap();
        for complaint in complaints(path.strip_prefix(root).unwrap(), &source) {
            writeln!(report, "{complaint}").unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn found(file: &str, source: &str) -> String {
    complaints(Path::new(file), source).join("\n")
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    let planted = [
        ("src/domain/pod.rs", "use crate::backend::kube::Cluster;"),
        ("src/domain/pod.rs", "fn f() { crate::engine::start(); }"),
        ("src/domain/pod.rs", "use super::super::backend::Error;"),
        ("src/domain/pod.rs", "mod tests { use super::super::super::sim::World; }"),
        ("src/backend/kube/node.rs", "use crate::{domain::node::NodeRow, engine::Run};"),
        ("src/console/update.rs", "use crate::console::view::theme::Theme;"),
        ("src/console/update.rs", "use crate::{console::{model::Model, shell::Shell}, domain::plan};"),
        ("src/console/view/nodes.rs", "use crate::engine::Run;"),
        ("src/headless/mod.rs", "use crate::console::model::Model;"),
        ("src/sim/api.rs", "pub use crate::domain::budget::BudgetRow as Row;"),
        ("src/engine/mod.rs", "use crate::config::Config;"),
    ];
    for (file, line) in planted {
        let all = found(file, &format!("//! Room.\n\n{line}\n"));
        assert!(all.contains(":3:") && all.contains("must not import"), "{file}: {line}: {all:?}");
    }
}

#[test]
fn an_allowed_import_is_not_reported() {
    let fine = [
        ("src/console/view/nodes.rs", "use super::look::Look;\nuse crate::console::model::Model;"),
        ("src/console/view/dialog/mod.rs", "use super::super::text;\nmod tests { use super::super::theme; }"),
        ("src/domain/pod.rs", "mod tests { use super::super::ids::PodKey; }"),
        ("src/sim/etcd.rs", "use crate::proto::{etcdserverpb as pb, mvccpb};"),
        ("src/engine/mod.rs", "// crate::console is not for us\nconst A: &str = \"crate::sim\";"),
        ("src/main.rs", "use crate::sim::World;"),
    ];
    for (file, lines) in fine {
        assert_eq!(found(file, &format!("//! Room.\n\n{lines}\n")), "", "{file}");
    }
}

#[test]
fn forbidden_words_are_found_in_code_only() {
    for (file, line) in [
        ("src/domain/pod.rs", "use tokio::time::sleep;"),
        ("src/domain/pod.rs", "fn f(c: ratatui::style::Color) {}"),
        ("src/console/update.rs", "let t = std::time::SystemTime::now();"),
        ("src/console/model.rs", "use crossterm::event::KeyEvent;"),
        ("src/console/view/mod.rs", "use kube::Client;"),
    ] {
        let all = found(file, &format!("//! Room.\n{line}\n"));
        assert!(all.contains(":2:") && all.contains("must not contain"), "{line}: {all:?}");
    }
    let harmless = "//! Room.\n// kube::Client\nconst A: &str = r#\"tokio::spawn \" x\"#; const B: char = '\"';\nfn g<'a>(_: &'a str) {} // tokio::\n";
    assert_eq!(found("src/domain/pod.rs", harmless), "");
    assert_eq!(found("src/console/keymap/mod.rs", "//! Keys.\nuse crossterm::event::KeyEvent;\n"), "");
}

#[test]
fn file_discipline_is_checked() {
    assert!(found("src/domain/pod.rs", "use std::fmt;\n").contains("does not begin"));
    assert!(
        found("tests/x.rs", "//! X.\n#[ignore = \"later\"]\nfn f() {}\n").contains("tests/x.rs:2: #[ignore")
    );
    assert!(found("src/engine/x.rs", "//! X.\n#[allow(dead_code)]\nfn f() {}\n").contains("#[allow("));
    assert!(found("src/engine/x.rs", &format!("//! X.\n{}", "\n".repeat(500))).contains("501 lines"));
    let long = format!("//! X.\nfn f(a: [u8; 3]) -> u8 {{\n{}}}\n", "    a();\n".repeat(59));
    assert!(found("src/engine/x.rs", &long).contains("src/engine/x.rs:2: fn f has 61 lines"));
    assert_eq!(found("src/engine/x.rs", &long.replacen("    a();\n", "", 1)), "");
}
