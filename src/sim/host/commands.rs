//! The commands of a host and what they print.

use tokio::time::Duration;

use super::archive::{self, Entry};
use super::filter;
use super::shell::{self, Link, Simple};
use super::{Host, etcd_health, sudo, systemd};
use crate::sim::credentials::SSH_USER;

/// What a command line left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit status.
    pub status: u32,
    /// The connection breaks before the status is sent.
    pub cut: bool,
}

impl Output {
    /// Success with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { stdout: text.into().into_bytes(), ..Self::default() }
    }

    /// Success with this text and a line end.
    pub fn line(text: impl Into<String>) -> Self {
        Self::text(text.into() + "\n")
    }

    /// A failure with a message and its line end.
    pub fn failure(status: u32, message: impl Into<String>) -> Self {
        Self { stderr: (message.into() + "\n").into_bytes(), status, ..Self::default() }
    }

    /// A bare status.
    pub fn status(status: u32) -> Self {
        Self { status, ..Self::default() }
    }
}

/// Who runs a command, and what it reads.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// By sudo.
    pub is_root: bool,
    /// Standard input.
    pub stdin: Vec<u8>,
}

impl Host {
    /// Runs a command line as the operator.
    pub async fn run(&self, line: &str) -> Output {
        self.run_as(line, false).await
    }

    pub(super) async fn run_as(&self, line: &str, is_root: bool) -> Output {
        let commands = match shell::parse(line) {
            Ok(commands) => commands,
            Err(error) => return Output::failure(2, format!("sh: 1: Syntax error: {}", error.0)),
        };
        let mut all = Output::default();
        let mut piped = Vec::new();
        for (at, command) in commands.iter().enumerate() {
            let is_skipped = match command.link {
                Link::And => all.status != 0,
                Link::Or => all.status == 0,
                Link::Always | Link::Pipe => false,
            };
            if is_skipped {
                continue;
            }
            let stdin = if command.link == Link::Pipe { std::mem::take(&mut piped) } else { Vec::new() };
            let mut output = Box::pin(self.execute(&command.words, &Caller { is_root, stdin })).await;
            redirect(command, &mut output);
            if commands.get(at + 1).is_some_and(|next| next.link == Link::Pipe) {
                piped = std::mem::take(&mut output.stdout);
            }
            all.stdout.append(&mut output.stdout);
            all.stderr.append(&mut output.stderr);
            all.status = output.status;
            if output.cut {
                return Output { cut: true, ..all };
            }
        }
        all
    }

    /// Runs one simple command.
    pub(super) async fn execute(&self, words: &[String], caller: &Caller) -> Output {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((program, arguments)) = words.split_first() else { return Output::default() };
        let name = program.rsplit('/').next().unwrap_or(program);
        match name {
            "true" | ":" | "sync" => Output::default(),
            "false" => Output::status(1),
            "echo" => Output::line(arguments.join(" ")),
            "cat" => self.cat(arguments, caller),
            "test" | "[" => self.test(arguments),
            "whoami" => Output::line(if caller.is_root { "root" } else { SSH_USER }),
            "id" => id(arguments, caller),
            "hostname" => Output::line(self.machine().name()),
            "uname" => self.uname(arguments),
            "uptime" => self.uptime_command(arguments),
            "df" => self.df(arguments),
            "ls" if arguments.last() == Some(&"/lib/modules") => Output::line(self.kernel()),
            "tar" => self.tar(arguments, caller),
            "curl" => etcd_health::curl(self, arguments).await,
            "sudo" => sudo::sudo(self, arguments).await,
            "systemctl" => systemd::systemctl(self, arguments, caller),
            "systemd-inhibit" => systemd::inhibit(self, arguments),
            "reboot" => systemd::reboot(self, caller),
            // as on every Ubuntu: it waits for a shutdown under the upgrade's own name
            "pgrep" if arguments.first() == Some(&"-f") => Output::line("612"),
            "pgrep" if !self.faults().upgrading => Output::line("612 unattended-upgr"),
            "pgrep" => Output::line("612 unattended-upgr\n4121 unattended-upgr"),
            "fuser" => Output::status(u32::from(!self.faults().upgrading)),
            "journalctl" if caller.is_root => Output::line("\"Starting kubelet\" version=v1.34.2"),
            "flock" => Output::status(u32::from(self.faults().upgrading)),
            "sleep" => self.sleep(arguments).await,
            "sh" | "bash" => self.nested(arguments, caller).await,
            "command" | "which" => which(arguments),
            "head" | "tail" | "grep" | "wc" => filter::run(name, arguments, &caller.stdin),
            _ => Output::failure(127, format!("bash: line 1: {program}: command not found")),
        }
    }

    async fn nested(&self, arguments: &[&str], caller: &Caller) -> Output {
        match arguments {
            ["-c" | "-ec" | "-lc", line, ..] => Box::pin(self.run_as(line, caller.is_root)).await,
            _ => Output::failure(2, "sh: only -c is simulated"),
        }
    }

    async fn sleep(&self, arguments: &[&str]) -> Output {
        match arguments.first().and_then(|seconds| seconds.parse::<f64>().ok()) {
            Some(seconds) if (0.0..=3600.0).contains(&seconds) => {
                tokio::time::sleep(self.inner.pace.of(Duration::from_secs_f64(seconds))).await;
                Output::default()
            }
            _ => Output::failure(1, "sleep: invalid time interval"),
        }
    }

    /// The content of a file that changes or that every machine has.
    fn volatile(&self, path: &str) -> Option<String> {
        let faults = self.faults();
        let machine = self.machine();
        let seconds = self.uptime().as_secs_f64();
        let text = match path {
            "/proc/sys/kernel/random/boot_id" => machine.boot_id() + "\n",
            "/proc/uptime" => format!("{seconds:.2} {:.2}\n", seconds * 3.7),
            "/proc/sys/kernel/osrelease" => self.kernel() + "\n",
            "/proc/sys/kernel/hostname" | "/etc/hostname" => machine.name().to_owned() + "\n",
            "/etc/machine-id" => machine.machine_id() + "\n",
            "/etc/os-release" | "/usr/lib/os-release" => self.os_release(),
            "/sys/kernel/kexec_loaded" => format!("{}\n", u32::from(faults.kexec_loaded)),
            "/run/reboot-required" | "/var/run/reboot-required" if faults.reboot_required => {
                "*** System restart required ***\n".to_owned()
            }
            "/run/reboot-required.pkgs" | "/var/run/reboot-required.pkgs" if faults.reboot_required => {
                "linux-image-generic\n".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }

    fn os_release(&self) -> String {
        let os = &self.inner.facts.os;
        let mut words = os.split(' ');
        let name = words.next().unwrap_or("Linux");
        let version = words.next().unwrap_or_default();
        let short: Vec<&str> = version.split('.').take(2).collect();
        format!(
            "PRETTY_NAME=\"{os}\"\nNAME=\"{name}\"\nVERSION_ID=\"{}\"\nVERSION=\"{version}\"\nID={}\n",
            short.join("."),
            name.to_lowercase(),
        )
    }

    fn cat(&self, arguments: &[&str], caller: &Caller) -> Output {
        let mut output = Output::default();
        let paths = arguments.iter().filter(|argument| !argument.starts_with('-'));
        if paths.clone().next().is_none() {
            return Output { stdout: caller.stdin.clone(), ..output };
        }
        for path in paths {
            let problem = if let Some(text) = self.volatile(path) {
                output.stdout.extend_from_slice(text.as_bytes());
                continue;
            } else if let Some(file) = self.inner.files.get(path) {
                if caller.is_root || file.mode & 0o004 != 0 {
                    output.stdout.extend_from_slice(&file.content);
                    continue;
                }
                "Permission denied"
            } else if self.has_directory(path) {
                "Is a directory"
            } else {
                "No such file or directory"
            };
            output.stderr.extend_from_slice(format!("cat: {path}: {problem}\n").as_bytes());
            output.status = 1;
        }
        output
    }

    fn has_directory(&self, path: &str) -> bool {
        matches!(path, "/" | "/etc" | "/run" | "/boot" | "/var" | "/tmp")
            || (path == "/run/nextroot" && self.faults().nextroot)
            || self.inner.files.has_directory(path)
    }

    fn test(&self, arguments: &[&str]) -> Output {
        let arguments = match arguments {
            [inside @ .., "]"] => inside,
            all => all,
        };
        let is_file = |path: &str| self.volatile(path).is_some() || self.inner.files.get(path).is_some();
        let holds = match arguments {
            ["-e" | "-r", path] => is_file(path) || self.has_directory(path),
            ["-f" | "-s", path] => is_file(path),
            ["-d", path] => self.has_directory(path),
            ["-n", text] => !text.is_empty(),
            ["-z", text] => text.is_empty(),
            ["!", "-e", path] => !is_file(path) && !self.has_directory(path),
            _ => return Output::failure(2, "test: unknown condition"),
        };
        Output::status(u32::from(!holds))
    }

    fn uname(&self, arguments: &[&str]) -> Output {
        match arguments {
            [] | ["-s"] => Output::line("Linux"),
            ["-r"] => Output::line(self.kernel()),
            ["-m"] => Output::line("x86_64"),
            ["-n"] => Output::line(self.machine().name()),
            _ => Output::line(format!(
                "Linux {} {} #1 SMP x86_64 GNU/Linux",
                self.machine().name(),
                self.kernel()
            )),
        }
    }

    fn uptime_command(&self, arguments: &[&str]) -> Output {
        let uptime = self.uptime();
        if arguments.contains(&"-s") {
            let since = jiff::Timestamp::now().checked_sub(uptime).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            return Output::line(since.strftime("%Y-%m-%d %H:%M:%S").to_string());
        }
        let minutes = uptime.as_secs() / 60;
        let (days, hours, rest) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
        Output::line(format!("up {days} days, {hours} hours, {rest} minutes"))
    }

    fn df(&self, arguments: &[&str]) -> Output {
        let used = if self.faults().boot_full { 1_992_552 } else { 312_840 };
        let all = 1_992_552;
        let header = "Filesystem     1024-blocks      Used Available Capacity Mounted on\n";
        let path = arguments.iter().rfind(|argument| !argument.starts_with('-')).copied().unwrap_or("/");
        let (device, all, used, mount) = match path {
            path if path.starts_with("/boot") => ("/dev/sda2", all, used, "/boot"),
            path if path.starts_with('/') => ("/dev/sda3", 81_106_868, 23_447_120, "/"),
            path => return Output::failure(1, format!("df: {path}: No such file or directory")),
        };
        let percent = (used * 100_u64).div_ceil(all);
        let left = all - used;
        Output::text(format!("{header}{device:<14} {all:>11} {used:>9} {left:>9} {percent:>7}% {mount}\n"))
    }

    fn tar(&self, arguments: &[&str], caller: &Caller) -> Output {
        let Some(request) = archive::request(arguments) else {
            return Output::failure(2, "tar: only -c to standard output, without compression, is simulated");
        };
        let mut problems = Vec::new();
        let mut entries: Vec<(String, u32, Option<&[u8]>)> = Vec::new();
        for path in &request.paths {
            let from =
                format!("{}/{}", request.directory.trim_end_matches('/'), path.trim_start_matches('/'));
            let mut found = false;
            for (name, file) in self.inner.files.below(&from) {
                found = true;
                if !caller.is_root && file.mode & 0o004 == 0 {
                    problems.push(format!("{name}: Cannot open: Permission denied"));
                    continue;
                }
                let prefix = format!("{}/", request.directory.trim_end_matches('/'));
                let stored = name.strip_prefix(&prefix).unwrap_or(name).trim_start_matches('/');
                archive::add_parents(&mut entries, stored, path);
                entries.push((stored.to_owned(), file.mode, Some(&file.content)));
            }
            if !found {
                problems.push(format!("{path}: Cannot stat: No such file or directory"));
            }
        }
        let modified = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        let whole = entries.iter().map(|(path, mode, content)| Entry {
            path,
            mode: *mode,
            modified: modified - modified % 86_400,
            content: *content,
        });
        let (stdout, too_long) = archive::write(whole);
        for path in too_long {
            problems.push(format!("{path}: file name is too long; not dumped"));
        }
        if !problems.is_empty() {
            problems.push("Exiting with failure status due to previous errors".to_owned());
        }
        let status = if problems.is_empty() { 0 } else { 2 };
        let stderr = lines(problems.iter().map(|problem| format!("tar: {problem}")));
        Output { stdout, stderr: stderr.into_bytes(), status, cut: false }
    }
}

/// Texts as lines.
pub fn lines<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let mut all = String::new();
    for text in texts {
        all.push_str(text.as_ref());
        all.push('\n');
    }
    all
}

fn redirect(command: &Simple, output: &mut Output) {
    if command.merge_err {
        let mut errors = std::mem::take(&mut output.stderr);
        output.stdout.append(&mut errors);
    }
    if command.mute_out {
        output.stdout.clear();
    }
    if command.mute_err {
        output.stderr.clear();
    }
}

fn id(arguments: &[&str], caller: &Caller) -> Output {
    let (uid, name) = if caller.is_root { (0, "root") } else { (1000, SSH_USER) };
    match arguments {
        ["-u"] => Output::line(uid.to_string()),
        ["-un" | "-nu"] => Output::line(name),
        _ => Output::line(format!("uid={uid}({name}) gid={uid}({name}) groups={uid}({name})")),
    }
}

fn which(arguments: &[&str]) -> Output {
    let name = arguments.iter().find(|argument| !argument.starts_with('-')).copied().unwrap_or_default();
    let known =
        ["systemctl", "systemd-inhibit", "sudo", "curl", "tar", "uname", "cat", "df", "flock", "pgrep"];
    if known.contains(&name) { Output::line(format!("/usr/bin/{name}")) } else { Output::status(1) }
}
