//! Calls every RPC as every kind of caller, and compares the outcomes with `docs/access-matrix.md`.
//! Fails if an outcome differs or no case calls an RPC. `cargo xtask test --update-docs` writes the
//! file.

pub(crate) mod cases;
pub(crate) mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use clinic_identity::Policy;
use clinic_testkit::{Suite, on_both};
use futures::future::join_all;
use tonic::Status;

use cases::{Case, cases};
use world::{Kind, World};

on_both! {
    async fn every_rpc_answers_every_kind_of_caller_as_documented(suite: &Suite) {
        let matrix = matrix(suite).await;
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/access-matrix.md");
        if std::env::var_os("CLINIC_UPDATE_DOCS").is_some() {
            // Not compared: the test for the other database may be writing the file now.
            return std::fs::write(&path, &matrix).unwrap();
        }
        let documented = std::fs::read_to_string(&path).unwrap();
        assert!(matrix == documented, "{}", difference(&documented, &matrix));
    }
}

#[test]
fn every_rpc_of_the_contract_has_a_case() {
    let policy = Policy::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET).unwrap();
    let declared: BTreeSet<&str> = policy.methods().map(|(path, _)| path).collect();
    let cases = cases();
    let covered: BTreeSet<&str> = cases.iter().map(|case| case.path).collect();
    let missing: Vec<_> = declared.difference(&covered).collect();
    let extra: Vec<_> = covered.difference(&declared).collect();
    assert!(missing.is_empty() && extra.is_empty(), "no case: {missing:?}; no RPC: {extra:?}");
}

/// Returns the lines that only one of the texts has.
fn difference(documented: &str, matrix: &str) -> String {
    let mut text = "-: docs/access-matrix.md, +: the suite\n".to_owned();
    for (sign, these, those) in [('-', documented, matrix), ('+', matrix, documented)] {
        let those: BTreeSet<&str> = those.lines().collect();
        for line in these.lines().filter(|line| !those.contains(line)) {
            let _ = writeln!(text, "{sign}{line}");
        }
    }
    text
}

#[test]
fn a_difference_shows_the_changed_lines_only() {
    let text = difference("same\nold\n", "same\nnew\n");
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["-old", "+new"]);
}

async fn matrix(suite: &Suite) -> String {
    let world = World::new(suite).await;
    let mut text = INTRODUCTION.to_owned();
    let mut service = "";
    for case in cases() {
        let (of, method) = case.path.trim_start_matches('/').split_once('/').unwrap();
        if of != service {
            service = of;
            let _ = write!(text, "\n## {service}\n\n| RPC | target |");
            for kind in Kind::ALL {
                let _ = write!(text, " {} |", kind.title());
            }
            let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(Kind::ALL.len()));
        }
        let _ = write!(text, "| {method} | {} |", case.label);
        let outcomes = Kind::ALL.into_iter().map(|kind| outcome(&case, &world, kind));
        let _ = writeln!(text, " {} |", join_all(outcomes).await.join(" | "));
    }
    text
}

/// Returns the outcome of a case for a kind of caller, as in the matrix.
pub(crate) async fn outcome(case: &Case, world: &World<'_>, kind: Kind) -> String {
    let caller = world.caller(kind, case.path).await;
    match (case.call)(world, caller).await {
        Ok(response) => response,
        Err(status) => code(&status),
    }
}

/// Returns the name of the status code as gRPC writes it, such as `PERMISSION_DENIED`.
pub(crate) fn code(status: &Status) -> String {
    let mut text = String::new();
    for letter in format!("{:?}", status.code()).chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_uppercase());
    }
    text
}

const INTRODUCTION: &str = "\
# Access matrix

Outcome of each RPC for each kind of caller. A test (`tests/suite/access_matrix`) calls every RPC to
generate this file. It fails if an outcome differs or an RPC is missing here. To accept a change:
`cargo xtask test --update-docs`.

Unless stated otherwise, patients and doctors belong to the *STAFF owner*, and assignments are of
those patients to the *verified DOCTOR*. `yes` means success. `FULL` and `BASIC` are the view of the
patient in the response, `listed` and `not listed` tell whether a list contains the target. *auth* is
the service that creates the records of accounts, and SERVICE is any other service; both call the
services directly, not through the gateway. For ADMIN, ChangePassword gets a wrong password.
";
