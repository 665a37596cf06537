//! `clinic openapi`.

use serde_json::Value;

use crate::operator::Operator;

#[test]
fn openapi_prints_the_document_or_writes_it_to_a_file() {
    let operator = Operator::with_sqlite();
    let printed = operator.run(&["openapi"]);
    assert!(printed.status.success() && printed.stderr.is_empty(), "{}", printed.stderr);
    let document: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/patients/{id}/"]["patch"].is_object());

    let written = operator.run(&["openapi", "--output", "api.json"]);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    assert_eq!(std::fs::read_to_string(operator.path("api.json")).unwrap(), printed.stdout);

    let refused = operator.run(&["openapi", "--output", "no/such/folder/api.json"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("no/such/folder/api.json"), "{refused:?}");
    // The command needs no data directory.
    assert!(!operator.path("data").exists());
}
