//! Starts and stops the measured processes, and reads their CPU time and memory from `/proc`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// Time limit for a program to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for a process to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A process whose CPU time and memory are measured.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

/// A process that the benchmark started. Dropping this stops it.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process, with a log file in the folder `logs`. The log includes the standard output
    /// unless `stdout` is given.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        logs: &Path,
        stdout: Option<Stdio>,
    ) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let stdout = stdout.map_or_else(|| file.try_clone().map(Stdio::from), Ok)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched { name: self.name.clone(), pid: self.child.id() }
    }

    /// Returns the last 20 lines of the log, under a heading, for an error message.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(20)).copied();
        format!("{} said:\n{}", self.name, last.collect::<Vec<_>>().join("\n"))
    }

    /// Returns an error if the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}; {}", self.name, self.log_tail()),
        }
    }

    /// Sends SIGTERM, and SIGKILL if the process does not end in time.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = self.child.id();
        let sent = Command::new("kill").arg(pid.to_string()).status()?;
        ensure!(sent.success(), "cannot send SIGTERM to process {pid}");
        let until = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} did not end after SIGTERM", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors are ignored here; `stop` returns them.
        let _ = self.end();
    }
}

/// A running program of the suite.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Time from its start to its ready line.
    pub(crate) took: Duration,
}

impl Server {
    /// Starts a program and waits for its ready line.
    pub(crate) fn start(name: &str, command: &mut Command, logs: &Path) -> Result<Self> {
        let began = Instant::now();
        let mut process = Process::start(name, command, logs, Some(Stdio::piped()))?;
        let stdout = process.child.stdout.take().context("a child without stdout")?;
        let (address, at) = ready(stdout).with_context(|| process.log_tail())?;
        Ok(Self { process, address, took: at.duration_since(began) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn watched(&self) -> Watched {
        self.process.watched()
    }
}

/// Waits for the line `… ready: http://ADDRESS`. Later output is read and dropped, so that the
/// process never blocks on a full pipe.
fn ready(stdout: ChildStdout) -> Result<(SocketAddr, Instant)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            if let Some((_, url)) = line.split_once(" ready: ") {
                let address = url.trim().rsplit_once("//").and_then(|(_, at)| at.parse().ok());
                let _ = sender.send((address, Instant::now()));
                break;
            }
            line.clear();
        }
        let _ = io::copy(&mut reader, &mut io::sink());
    });
    match receiver.recv_timeout(START_TIMEOUT) {
        Ok((Some(address), at)) => Ok((address, at)),
        Ok((None, _)) => bail!("the ready line has no address"),
        Err(_) => Err(anyhow!("the program did not become ready")),
    }
}

/// CPU times of the threads of a process and its descendants. Linux reports those of whole
/// processes only in hundredths of a second.
pub(crate) struct Threads(HashMap<u32, Duration>);

impl Threads {
    pub(crate) fn of_tree(pid: u32) -> Self {
        let mut threads = HashMap::new();
        for pid in tree(pid) {
            let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
            for entry in entries.flatten() {
                let thread = entry.file_name().to_str().and_then(|name| name.parse().ok());
                let time = fs::read_to_string(entry.path().join("schedstat")).ok();
                let time = time.as_deref().and_then(on_cpu);
                threads.extend(thread.zip(time));
            }
        }
        Self(threads)
    }

    /// Returns the CPU time spent since `before`. Ignores threads that have ended: tokio ends a thread
    /// after 10 s without work, and a measurement is shorter, so such a thread used no CPU in it.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let spent = |(thread, now): (&u32, &Duration)| {
            now.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(spent).sum()
    }
}

/// Returns the first number of a `schedstat`: nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Returns the bytes of resident memory of a process and its descendants.
pub(crate) fn memory_of_tree(pid: u32) -> u64 {
    tree(pid).into_iter().map(resident).sum()
}

/// Fields of `/proc/PID/stat`, see proc(5).
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// CPU time, including that of children that have ended and were waited for.
    pub(crate) cpu: Duration,
}

/// Unit of CPU times in `/proc` (`USER_HZ`), independent of the kernel's clock rate.
const TICKS_PER_SECOND: u64 = 100;

pub(crate) fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have spaces.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    // User and system time, then those of the children.
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>());
    let cpu = Duration::from_millis(ticks.sum::<Result<u64, _>>().ok()? * 1000 / TICKS_PER_SECOND);
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu })
}

/// Returns a process and all its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        at += 1;
    }
    found
}

fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_ended_are_not_counted() {
        let millis = |times: &[(u32, u64)]| {
            Threads(times.iter().map(|&(id, ms)| (id, Duration::from_millis(ms))).collect())
        };
        let before = millis(&[(1, 500), (2, 70), (3, 9)]);
        let after = millis(&[(1, 800), (3, 10), (4, 20)]);
        assert_eq!(after.since(&before), Duration::from_millis(321));
    }

    #[test]
    fn time_on_a_cpu_is_the_first_number() {
        assert_eq!(on_cpu("612952 82113 2\n"), Some(Duration::from_nanos(612_952)));
        assert_eq!(on_cpu(""), None);
    }
}
