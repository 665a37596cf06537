//! Tests of the pages of assignments.

use clinic_resource::{Listing as _, View};
use clinic_store::Origin;
use clinic_store::page::Cursor;

use super::super::listing::{Assignments, Filter, Person, State};
use super::*;
use crate::scopes::Ground;

on_both! {
    pages_hold_what_the_caller_may_see_and_the_filter_passes
    every_list_is_a_range_of_an_index
}

fn id(n: u128) -> Option<Person> {
    Some(Person::Id(Uuid::from_u128(n)))
}

fn of_user(n: u128) -> Option<Person> {
    Some(Person::OfUser(Uuid::from_u128(n)))
}

const STATES: [Option<State>; 3] = [None, Some(State::Active), Some(State::Ended)];

type List<'a> = clinic_resource::List<'a, Assignments<'a>>;

/// Calls `read` with a list.
async fn with_list<T>(
    grounds: &[Ground],
    filter: Filter,
    read: impl AsyncFnOnce(List<'_>) -> T,
) -> T {
    let scope = scopes::scope(grounds.iter().copied());
    let listing = Assignments { grounds, filter };
    read(List { scope: &scope, asked: View::Full, listing }).await
}

/// Returns the ids of a page and the position of the next one.
async fn page(
    db: &Db,
    list: &List<'_>,
    size: i64,
    after: Option<Cursor>,
) -> (Vec<Uuid>, Option<Cursor>) {
    let page = list.page::<Assignment>(db, size, after).await.ok().unwrap();
    assert!(page.messages().count() <= usize::try_from(size).unwrap());
    (page.messages().map(|row| row.id.parse().unwrap()).collect(), page.next().cloned())
}

/// Returns the ids on all pages of this size, in order.
async fn walk(db: &Db, list: &List<'_>, size: i64) -> Vec<Uuid> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (ids, next) = page(db, list, size, after).await;
        all.extend(ids);
        match next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// A row: patient, doctor, whether it has ended, id.
type Known = (u128, u128, bool, Uuid);

async fn fill(scratch: &Scratch) -> Vec<Known> {
    let mut known = Vec::new();
    for round in 0..2 {
        for (patient, doctor) in [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2), (4, 3), (6, 3)] {
            let row = scratch.create(patient, doctor).await.ok().unwrap();
            let ends = round == 0 || patient == 2;
            if ends {
                scratch.end(&row.id).await.ok().unwrap();
            }
            known.push((patient, doctor, ends, row.id.parse().unwrap()));
        }
    }
    known.sort_by_key(|(.., id)| *id);
    known
}

fn passes(which: Option<Person>, record: u128, users: u128) -> bool {
    match which {
        None => true,
        Some(Person::Id(id)) => id == Uuid::from_u128(record),
        Some(Person::OfUser(user)) => user == Uuid::from_u128(users + record),
    }
}

async fn pages_hold_what_the_caller_may_see_and_the_filter_passes(scratch: &Scratch) {
    let known = fill(scratch).await;
    // An account with the roles STAFF, PATIENT and DOCTOR.
    let several = PATIENT_USER + 2;
    let callers: [(u128, &[Role]); 7] = [
        (1, &[Role::Admin]),
        (OWNER + 1, &[Role::Staff]),
        (PATIENT_USER + 1, &[Role::Patient]),
        (DOCTOR_USER + 1, &[Role::Doctor]),
        (several, &[Role::Patient, Role::Staff, Role::Doctor]),
        (OWNER + 9, &[Role::Staff]),
        (OWNER, &[]),
    ];
    let sees = |user: u128, roles: &[Role], (patient, doctor, ..): &Known| {
        roles.iter().any(|role| match role {
            Role::Admin => true,
            Role::Staff => user == OWNER + patient % 3,
            Role::Patient => user == PATIENT_USER + patient,
            Role::Doctor => user == DOCTOR_USER + doctor,
            Role::Unspecified | Role::Service => false,
        })
    };
    let mut seen = 0;
    for (user, roles) in callers {
        let grounds = scopes::visible(&account(user, roles));
        for patient in [None, id(1), id(4), id(9), of_user(PATIENT_USER + 2)] {
            for doctor in [None, id(1), of_user(DOCTOR_USER + 1), of_user(DOCTOR_USER + 3)] {
                for state in STATES {
                    let expected: Vec<Uuid> = known
                        .iter()
                        .filter(|row| sees(user, roles, row))
                        .filter(|row| passes(patient, row.0, PATIENT_USER))
                        .filter(|row| passes(doctor, row.1, DOCTOR_USER))
                        .filter(|row| state.is_none_or(|s| (s == State::Ended) == row.2))
                        .map(|row| row.3)
                        .collect();
                    let filter = Filter { patient, doctor, state };
                    with_list(&grounds, filter, async |list| {
                        let count = list.count::<Assignment>(&scratch.db).await.ok().unwrap();
                        assert_eq!(usize::try_from(count).unwrap(), expected.len());
                        for size in [1, 3, 50] {
                            assert_eq!(walk(&scratch.db, &list, size).await, expected, "{user}");
                        }
                    })
                    .await;
                    seen += expected.len();
                }
            }
        }
    }
    assert!(seen > 100);
}

/// Returns the query plan of a page.
async fn plan(db: &Db, list: &List<'_>) -> String {
    let after = Cursor { branch: 0, id: Uuid::from_u128(1), key: Vec::new() };
    let explained = |explain: &'static str| {
        let part = list.listing.part(0, Some(&after)).unwrap();
        let mut query = Query::new(explain);
        query.append(&list.select::<Assignment>(&part, 51).unwrap());
        query
    };
    match db.backend() {
        Backend::Sqlite => {
            let query = explained("EXPLAIN QUERY PLAN ");
            let steps: Vec<(i64, i64, i64, String)> = db.fetch_all(query).await.unwrap();
            steps.into_iter().map(|(.., step)| step + "\n").collect()
        }
        Backend::Postgres => {
            let mut work = db.work(&Origin::operator(Clock::system().now())).await.unwrap();
            // PostgreSQL would otherwise read and sort such a small table.
            for setting in ["SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off"] {
                work.untracked(Query::new(setting)).await.unwrap();
            }
            let steps: Vec<(String,)> = work.fetch_all(explained("EXPLAIN ")).await.unwrap();
            steps.into_iter().map(|(step,)| step + "\n").collect()
        }
    }
}

async fn every_list_is_a_range_of_an_index(scratch: &Scratch) {
    let (user, patient_id, doctor_id) = (Uuid::from_u128(7), id(7), id(8));
    let me = of_user(7);
    let (owned, patient, doctor) =
        (Ground::OfPatientsOwnedBy(user), Ground::OfPatient(user), Ground::OfDoctor(user));
    let all = Ground::All;
    for (ground, of_patient, of_doctor, index) in [
        (all, None, None, "ended_id_idx"),
        (all, patient_id, None, "patient_id_idx"),
        (all, None, doctor_id, "doctor_id_idx"),
        (all, me, None, "patient_user_id_idx"),
        (all, None, me, "doctor_user_id_idx"),
        (all, patient_id, doctor_id, "patient_id_idx"),
        (owned, None, None, "patient_owner_id_idx"),
        (owned, patient_id, None, "patient_id_idx"),
        (owned, me, None, "patient_user_id_idx"),
        (owned, None, doctor_id, "patient_owner_id_doctor_id_idx"),
        (owned, None, me, "doctor_user_id_idx"),
        (owned, patient_id, doctor_id, "patient_id_idx"),
        (owned, patient_id, me, "patient_id_idx"),
        (patient, None, None, "patient_user_id_idx"),
        (patient, patient_id, None, "patient_id_idx"),
        (patient, me, None, "patient_user_id_idx"),
        (patient, None, doctor_id, "patient_user_id_idx"),
        (patient, None, me, "patient_user_id_idx"),
        (doctor, None, None, "doctor_user_id_idx"),
        (doctor, patient_id, None, "patient_id_idx"),
        (doctor, me, None, "patient_user_id_idx"),
        (doctor, None, doctor_id, "doctor_user_id_idx"),
        (doctor, None, me, "doctor_user_id_idx"),
    ] {
        for state in [State::Active, State::Ended] {
            let filter = Filter { patient: of_patient, doctor: of_doctor, state: Some(state) };
            let plan =
                with_list(&[ground], filter, async |list| plan(&scratch.db, &list).await).await;
            let told = format!("{ground:?} {index} {state:?}:\n{plan}");
            let scans = ["SCAN", "TEMP B-TREE", "Seq Scan", "Sort", "Bitmap"];
            assert!(!scans.iter().any(|scan| plan.contains(scan)), "{told}");
            assert!(plan.contains(&format!(" assignments_{index} ")), "{told}");
        }
    }
    let everything = Filter::default();
    let plan =
        with_list(&[Ground::All], everything, async |list| plan(&scratch.db, &list).await).await;
    assert!(plan.contains("autoindex") || plan.contains("assignments_pkey"), "{plan}");
}
