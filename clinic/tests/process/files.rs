//! Limits on the open files of a process. Every connection is an open file.

use std::process::Command;
use std::time::Duration;

use crate::operator::{Operator, Running};

/// Starts `clinic up` under a `ulimit`.
fn up_with(limit: &str, operator: &Operator) -> Running {
    let up = operator.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut shell = Command::new("sh");
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(up.get_program()).args(up.get_args());
    shell.env_clear().current_dir(up.get_current_dir().unwrap());
    Running::start(&mut shell)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_raises_a_limit_that_it_may_raise() {
    let operator = Operator::with_sqlite();
    let running = up_with("-Sn 100", &operator);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|at| files.split_whitespace().nth(at).unwrap());
    assert_eq!(soft, hard);
    assert_ne!(soft, "100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_stays_low_is_warned_of() {
    let operator = Operator::with_sqlite();
    let running = up_with("-n 300", &operator);
    let ended = running.terminate(Duration::from_secs(20));
    assert!(ended.stderr.contains("limit on open files"), "{}", ended.stderr);
    let running = operator.up(&["--max-connections", "50"]);
    let ended = running.terminate(Duration::from_secs(20));
    assert!(!ended.stderr.contains("limit on open files"), "{}", ended.stderr);
}
