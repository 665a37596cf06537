//! Tests that changes of records leave entries in the journals of the database.

use clinic_proto::records::v1::{
    DeletePatientRequest, Patient, UndeletePatientRequest, UpdatePatientRequest,
};
use clinic_store::{Backend, ChangeKind, Journal, Origin, Query, migrate};
use clinic_stubs::records::v1::PatientServiceHandler as _;
use clinic_testdb::{TestDatabase, on_both};

use super::{Records, a_patient, staff};

struct Entries;

impl Journal for Entries {
    fn entry(&self, record: &'static str, change: ChangeKind, _: &Origin) -> Query {
        let change = match change {
            ChangeKind::Create => "create",
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
            ChangeKind::Undelete => "undelete",
        };
        Query::new("INSERT INTO entries SELECT $1, $2, id, version FROM written")
            .bind(record)
            .bind(change)
    }
}

on_both! { every_change_of_a_patient_leaves_an_entry }

async fn every_change_of_a_patient_leaves_an_entry(backend: &Backend) {
    let database = TestDatabase::create(*backend).await;
    let db = database.connect().await;
    migrate(&db, &crate::MIGRATIONS).await.unwrap();
    let table = "CREATE TABLE entries (record text, change text, id uuid, version bigint)";
    db.untracked().execute(Query::new(table)).await.unwrap();
    let records = Records::over(database, db.with_journal(Entries)).await;

    let id = records.add(&staff(), a_patient("Ann", "Lee")).await.id;
    let renamed = Patient { last_name: "Ray".to_owned(), ..Patient::default() };
    let update = UpdatePatientRequest { id: id.clone(), patient: Some(renamed), update_mask: None };
    records.patients.update_patient(&staff(), update.clone()).await.unwrap();
    // Changes nothing.
    records.patients.update_patient(&staff(), update).await.unwrap();
    let (etag, delete_id) = (String::new(), id.clone());
    let delete = DeletePatientRequest { id: delete_id, etag: etag.clone() };
    records.patients.delete_patient(&staff(), delete).await.unwrap();
    let undelete = UndeletePatientRequest { id: id.clone(), etag };
    records.patients.undelete_patient(&staff(), undelete).await.unwrap();

    let query = Query::new("SELECT record, change, id, version FROM entries ORDER BY version");
    let entries: Vec<(String, String, uuid::Uuid, i64)> =
        records.db.fetch_all(query).await.unwrap();
    let id = id.parse().unwrap();
    let entry = |change: &str, version| ("patient".to_owned(), change.to_owned(), id, version);
    let expected =
        [entry("create", 1), entry("update", 2), entry("delete", 3), entry("undelete", 4)];
    assert_eq!(entries, expected);
}
