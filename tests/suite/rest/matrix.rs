//! Calls every REST path as every kind of caller: it must give exactly the access that its RPC gives.
//! Runs the cases of the access matrix, which a translator sends over REST.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{ListDoctorPatientsRequest, ListPatientDoctorsRequest};
use clinic_proto::auth::v1::RegisterRequest;
use clinic_proto::auth::v1::register_request::Profile;
use clinic_testkit::{Backend, PASSWORD, doctor, email, patient, run};
use futures::future::join_all;

use super::contract::{Contract, Path};
use super::replacing;
use super::translator::{Translator, is_another_paths};
use crate::access_matrix::cases::{self, Case, cases, sees, yes};
use crate::access_matrix::world::{Caller, Kind, World};
use crate::access_matrix::{code, outcome};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_answers_every_kind_of_caller_as_its_rpc_does() {
    run(Backend::Sqlite, async |suite| {
        let contract = Arc::new(Contract::read());
        let most = cases().iter().map(|case| contract.method(case.path).1.len()).max().unwrap();
        let mut translators = Vec::new();
        for place in 0..most {
            translators.push(Translator::start(contract.clone(), suite.gateway, place).await);
        }
        let world = World::new(suite).await;
        let (mut called, mut succeeded, mut wrong) =
            (BTreeSet::new(), BTreeSet::new(), String::new());
        for case in [cases(), own_cases(), replacing::cases()].concat() {
            let (_, paths) = contract.method(case.path);
            if paths.is_empty() {
                continue;
            }
            // Services call one another directly, not through the gateway.
            let from_outside = |kind: &Kind| !matches!(kind, Kind::Service | Kind::Registrar);
            let asked = Kind::ALL.into_iter().filter(from_outside).map(async |kind| {
                let by_grpc = outcome(&case, &world, kind).await;
                let mut responses = Vec::new();
                for (path, translator) in paths.iter().zip(&translators) {
                    let mut caller = world.caller(kind, case.path).await;
                    caller.clients = translator.clients(caller.account.as_ref());
                    let kept_out = is_kept_out(path, &caller);
                    let response = (case.call)(&world, caller).await;
                    let expected = if kept_out { "PERMISSION_DENIED" } else { &by_grpc };
                    responses.push((path, kind, response, expected.to_owned()));
                }
                responses
            });
            for (path, kind, response, expected) in join_all(asked).await.into_iter().flatten() {
                if is_another_paths(&response) {
                    continue;
                }
                let name = (path.verb.as_str(), path.template.as_str());
                called.insert(name);
                if response.as_ref().is_ok_and(|response| is_success(response)) {
                    succeeded.insert(name);
                }
                let (by_rest, why) = match response {
                    Ok(response) => (response, String::new()),
                    Err(status) => (code(&status), status.message().to_owned()),
                };
                if by_rest != expected {
                    let (Path { verb, template, .. }, label, title) =
                        (path, case.label, kind.title());
                    let _ = writeln!(
                        wrong,
                        "{verb} {template}, {label}, {title}: {by_rest} instead of {expected} {why}"
                    );
                }
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
        let lacking = |these: &BTreeSet<(&str, &str)>| -> Vec<_> {
            let declared = contract.paths().map(|path| (&*path.verb, &*path.template));
            declared.filter(|path| !these.contains(path)).collect()
        };
        let (unasked, refused) = (lacking(&called), lacking(&succeeded));
        assert!(unasked.is_empty(), "no case calls {unasked:?}");
        assert!(refused.is_empty(), "no caller succeeds with {refused:?}");
    })
    .await;
}

/// Returns whether the call succeeded as its path promises: an empty list does not count, nor does
/// another outcome that a case has its own word for.
fn is_success(response: &str) -> bool {
    matches!(response, "yes" | "FULL" | "BASIC" | "listed")
}

/// Returns whether the caller is signed in and has none of the roles that may use the path.
fn is_kept_out(path: &Path, caller: &Caller) -> bool {
    let none = |roles: &[i32]| !roles.iter().any(|role| path.only.contains(role));
    !path.only.is_empty()
        && caller.account.as_ref().is_some_and(|account| none(&account.user.roles))
}

/// Returns cases that differ only in REST, and so are not in the access matrix.
fn own_cases() -> Vec<Case> {
    vec![
        Case {
            path: "/clinic.auth.v1.AuthService/Register",
            label: "a new account of a patient",
            call: |_w, mut c| {
                Box::pin(async move {
                    let request = registration(Role::Patient, Profile::Patient(patient()));
                    c.clients.auth.register(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/Register",
            label: "a new account of a doctor",
            call: |_w, mut c| {
                Box::pin(async move {
                    let request = registration(Role::Doctor, Profile::Doctor(doctor()));
                    c.clients.auth.register(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/ListPatientDoctors",
            label: "own record",
            call: |w, mut c| {
                Box::pin(async move {
                    w.own_assignment().await;
                    let patient_id = cases::ME.to_owned();
                    let request = ListPatientDoctorsRequest { patient_id, ..Default::default() };
                    let response = c.clients.assignments.list_patient_doctors(request).await?;
                    Ok(sees(!response.get_ref().doctors.is_empty()))
                })
            },
        },
        Case {
            path: "/clinic.assignment.v1.AssignmentService/ListDoctorPatients",
            label: "own record",
            call: |w, mut c| {
                Box::pin(async move {
                    w.assignment().await;
                    let doctor_id = cases::ME.to_owned();
                    let request = ListDoctorPatientsRequest { doctor_id, ..Default::default() };
                    let response = c.clients.assignments.list_doctor_patients(request).await?;
                    Ok(sees(!response.get_ref().patients.is_empty()))
                })
            },
        },
    ]
}

fn registration(role: Role, profile: Profile) -> RegisterRequest {
    RegisterRequest {
        email: email(),
        name: "New Person".into(),
        password: PASSWORD.into(),
        role: role.into(),
        profile: Some(profile),
        ..Default::default()
    }
}
