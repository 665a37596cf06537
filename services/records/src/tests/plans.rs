//! Tests that indexes serve every list: the query plans of both databases have no table scan, and
//! no sort of more than a page.

use clinic_clock::Clock;
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::records::v1::{self as proto, ListDoctorsRequest};
use clinic_resource::text::Prefix;
use clinic_resource::{List, Listing as _, Resource, View};
use clinic_store::page::Cursor;
use clinic_store::{Backend, Origin, Query};

use uuid::Uuid;

use super::{Records, a_doctor, a_patient, admin, doctor, on_both, patient, staff, user};
use crate::DoctorPatientView;
use crate::doctors::{self, Doctor};
use crate::listing::Filter;
use crate::patients::Patient;
use crate::scopes::{visible_doctors, visible_patients};

on_both! { indexes_serve_every_list }

/// The `LIMIT` of the statements.
const PAGE: u32 = 51;

async fn indexes_serve_every_list(records: &Records) {
    fill(records).await;
    for caller in [staff(), admin(), patient(), doctor(), user(1, &[Role::Staff, Role::Doctor])] {
        for prefix in [None, Prefix::new("sm")] {
            for show_deleted in [false, true] {
                let scope = visible_patients(caller.principal(), DoctorPatientView::Basic);
                let (prefix, also) = (prefix.clone(), Query::empty());
                let filter = Filter { scope: &scope, show_deleted, prefix, also };
                assert_served::<Patient>(records, filter, &caller).await;
            }
        }
    }
    for (specialization, available) in
        [("", None), ("surgery", None), ("", Some(true)), ("surgery", Some(true))]
    {
        for show_deleted in [false, true] {
            for query in ["", "sm"] {
                let request = ListDoctorsRequest {
                    specialization: specialization.into(),
                    available,
                    query: query.into(),
                    show_deleted,
                    ..Default::default()
                };
                let scope = visible_doctors(staff().principal(), show_deleted);
                let filter = doctors::filter(&request, &scope);
                assert_served::<Doctor>(records, filter, &staff()).await;
            }
        }
    }
}

/// Returns the statements of a list, with and without a cursor.
fn explained<R: Resource>(
    list: &List<'_, Filter<'_>>,
    key: &[u8],
    explain: &'static str,
) -> Vec<Query> {
    let mut queries = Vec::new();
    for number in 0.. {
        let (id, key) = (Uuid::from_u128(1 << 100), key.to_vec());
        let cursor = Cursor { branch: number, id, key };
        for after in [None, Some(&cursor)] {
            let Some(part) = list.listing.part(number, after) else { return queries };
            let Some(select) = list.select::<R>(&part, PAGE.into()) else { continue };
            let mut query = Query::new(explain);
            query.append(&select);
            queries.push(query);
        }
    }
    queries
}

/// Inserts so many rows that reading all of them would be the more expensive plan.
async fn fill(records: &Records) {
    for n in 0..40 {
        let owner = user(n % 20, &[Role::Staff]);
        let last_name = if n % 8 == 0 { "Smith".to_owned() } else { format!("Name{n}") };
        records.add(&owner, a_patient(&format!("First{n}"), &last_name)).await;
        let specialization = if n % 3 == 0 { "Surgery" } else { "Cardiology" }.into();
        let doctor = proto::Doctor { specialization, ..a_doctor(&last_name, &format!("L{n}")) };
        records.add_doctor(&owner, doctor).await;
    }
    // Doubles the rows, with new ids.
    let id = match records.db.backend() {
        Backend::Postgres => "gen_random_uuid()",
        Backend::Sqlite => "randomblob(16)",
    };
    for _ in 0..9 {
        let mut patients = Query::new("INSERT INTO patients SELECT ");
        patients.push(id).push(
            ", version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
             first_name_key, last_name, last_name_key, date_of_birth, gender, phone_number, email, \
             address, medical_history FROM patients",
        );
        records.db.untracked().execute(patients).await.unwrap();
        let mut doctors = Query::new("INSERT INTO doctors SELECT ");
        doctors.push(id).push(
            ", version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
             first_name_key, last_name, last_name_key, specialization, specialization_key, \
             license_number, license_key || ",
        );
        doctors.push(match records.db.backend() {
            Backend::Postgres => "gen_random_uuid()",
            Backend::Sqlite => "hex(randomblob(16))",
        });
        doctors.push(
            ", qualifications, years_of_experience, consultation_fee, available, phone_number, \
             email, verified FROM doctors",
        );
        records.db.untracked().execute(doctors).await.unwrap();
    }
    records.db.untracked().execute(Query::new("ANALYZE")).await.unwrap();
}

async fn assert_served<R: Resource>(records: &Records, filter: Filter<'_>, caller: &Context) {
    let key = filter.prefix.as_ref().map(Prefix::low).unwrap_or_default();
    let list = filter.list(View::Full);
    let caller = format!("{:?}", caller.principal());

    let explain = match records.db.backend() {
        Backend::Postgres => "EXPLAIN ",
        Backend::Sqlite => "EXPLAIN QUERY PLAN ",
    };
    let origin = Origin::operator(Clock::system().now());
    for query in explained::<R>(&list, &key, explain) {
        let (plan, sorts_all): (Vec<String>, bool) = match records.db.backend() {
            Backend::Postgres => {
                let mut work = records.db.work(&origin).await.unwrap();
                // The cost of an SSD.
                let cost = Query::new("SET LOCAL random_page_cost = 1.1");
                work.untracked(cost).await.unwrap();
                let plan: Vec<(String,)> = work.fetch_all(query).await.unwrap();
                let plan: Vec<String> = plan.into_iter().map(|(line,)| line).collect();
                // The rows that the ranges of a page find may be sorted, and so may the rows of a
                // scan if they are no more than that.
                let rows = |node: &str| -> Option<u32> {
                    node.split_once(" rows=")?.1.split(' ').next()?.parse().ok()
                };
                let nodes: Vec<&String> =
                    plan.iter().filter(|line| line.contains("  (cost=")).collect();
                let sorts = nodes.windows(2).any(|pair| {
                    pair[0].contains("Sort  (")
                        && pair[1].contains(" Scan ")
                        && rows(pair[1]).unwrap() > 2 * PAGE
                });
                (plan, sorts)
            }
            Backend::Sqlite => {
                let plan: Vec<(i64, i64, i64, String)> = records.db.fetch_all(query).await.unwrap();
                let outermost = if list.scope.arms().len() == 1 { i64::MIN } else { 0 };
                let one = |of: i64| {
                    plan.iter()
                        .any(|(_, parent, _, line)| *parent == of && line.contains("_user_id_key "))
                };
                let sorts = plan.iter().any(|(_, parent, _, line)| {
                    line.contains("TEMP B-TREE FOR ORDER BY")
                        && *parent != outermost
                        && !one(*parent)
                });
                (plan.into_iter().map(|(.., line)| line).collect(), sorts)
            }
        };
        assert!(!sorts_all, "{caller}\n{}", plan.join("\n"));
        let scan = |line: &String| {
            let table = line.contains("patients") || line.contains("doctors");
            line.contains("Seq Scan on") && table
                || line.starts_with("SCAN") && table && !line.contains("INDEX")
        };
        assert!(!plan.iter().any(scan), "{caller}\n{}", plan.join("\n"));
        if std::env::var("CLINIC_SHOW_PLANS").is_ok() {
            let plan = plan.join("\n");
            std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("{caller}\n{plan}\n\n").as_bytes(),
            )
            .unwrap();
        }
    }
}
