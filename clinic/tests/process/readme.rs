//! Runs the commands in the REST section of the README.

use std::process::Command;

use crate::operator::{Operator, run_to_end};

const README: &str = include_str!("../../../README.md");
const ADDRESS: &str = "http://127.0.0.1:8080";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_readme_says_of_rest_is_so() {
    for tool in ["bash", "curl"] {
        let there = Command::new(tool).arg("--version").output();
        assert!(there.is_ok(), "this test needs {tool}: install it");
    }
    let typed: String = blocks("## REST").filter(|block| block.contains(ADDRESS)).collect();
    let (commands, responses) = (typed.matches("curl ").count(), said(&typed));
    assert!(
        commands > 8 && responses.len() > 8,
        "{commands} commands, {} answers",
        responses.len()
    );

    let operator = Operator::with_sqlite();
    let running = operator.up(&[]);
    let here = format!("http://{}", running.address);
    let mut bash = Command::new("bash");
    // Ignores the user's .curlrc and proxy settings.
    bash.current_dir(operator.path("")).env("HOME", operator.path("")).env("no_proxy", "*");
    let ended = run_to_end(bash.args(["-euo", "pipefail", "-s"]), &typed.replace(ADDRESS, &here));
    assert!(ended.status.success(), "{ended:?}");
    let mut rest = ended.stdout.as_str();
    for response in responses {
        for part in response.split('…') {
            let found = rest.find(part).map(|at| &rest[at + part.len()..]);
            rest =
                found.unwrap_or_else(|| panic!("`{response}` is not printed:\n{}", ended.stdout));
        }
    }
}

/// Returns the `sh` blocks of a section.
fn blocks(heading: &str) -> impl Iterator<Item = &'static str> {
    let (_, section) = README.split_once(&format!("\n{heading}\n")).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap())
}

/// Returns the documented output: comments right after a command, where `…` matches anything.
fn said(typed: &str) -> Vec<&str> {
    let (mut said, mut responses) = (Vec::new(), false);
    for line in typed.lines() {
        match line.strip_prefix("# ") {
            Some(comment) if responses => said.push(comment),
            comment => responses = comment.is_none() && !line.is_empty(),
        }
    }
    said
}
