use std::path::Path;

use super::*;

/// Returns the routes of methods with these options, each of which takes and returns a `Thing`.
fn routes(methods: &[&str]) -> Result<Routes> {
    let directory = tempfile::tempdir().unwrap();
    let methods: String = methods
        .iter()
        .enumerate()
        .map(|(n, options)| format!("rpc Call{n}(Thing) returns (Thing) {{ {options} }}\n"))
        .collect();
    Routes::from_descriptors(&descriptors(directory.path(), &methods))
}

fn descriptors(directory: &Path, methods: &str) -> Vec<u8> {
    let text = format!(
        "syntax = \"proto3\";
        package clinic.probe.v1;
        import \"clinic/rest/v1/rest.proto\";
        import \"google/api/annotations.proto\";
        message Thing {{ string id = 1; Thing thing = 2; repeated Thing things = 3; bool on = 4; }}
        message Raw {{ bytes data = 1; }}
        service Probe {{ {methods} }}"
    );
    std::fs::write(directory.join("probe.proto"), text).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (contract, third_party) = (root.join("proto"), root.join("third_party/proto"));
    let mut compiler = protox::Compiler::new([directory, &contract, &third_party]).unwrap();
    compiler.include_imports(true).open_file("probe.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

fn http(rule: &str) -> String {
    format!("option (google.api.http) = {{ {rule} }};")
}

fn refused(methods: &[&str]) -> String {
    routes(methods).err().unwrap().to_string()
}

fn contract() -> Routes {
    Routes::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET).unwrap()
}

/// Returns the RPC and the values of the path parameters.
fn find<'a>(routes: &'a Routes, method: &Method, path: &'a str) -> Option<(&'a str, Vec<&'a str>)> {
    match routes.find(method, path) {
        Route::Found(matched) => Some((matched.binding.rpc.as_str(), matched.captured)),
        Route::MethodNotAllowed(_) | Route::NotFound => None,
    }
}

#[test]
fn two_methods_at_one_path_are_refused() {
    for (one, other) in [
        ("get: \"/a\"", "get: \"/a\""),
        ("get: \"/a/{id}\"", "get: \"/a/{thing.id}\""),
        ("get: \"/a\"", "post: \"/a\" additional_bindings: { get: \"/a\" }"),
    ] {
        let error = refused(&[&http(one), &http(other)]);
        assert!(error.contains("leads to two methods"), "{error}");
    }
    let twice = http("get: \"/a\" additional_bindings: { get: \"/a\" }");
    assert!(refused(&[&twice]).contains("leads to two methods"));
    // No conflict: another HTTP method, or another number of segments.
    routes(&[
        &http("get: \"/a/{id}\""),
        &http("put: \"/a/{thing.id}\""),
        &http("get: \"/a/{id}/b\""),
    ])
    .unwrap();
}

#[test]
fn what_the_contract_says_must_fit_its_messages() {
    let fixed = |field: &str, value: &str| {
        let fixed = format!("fixed: [{{ field: \"{field}\" value: \"{value}\" }}]");
        http("get: \"/a\"")
            + &format!("option (clinic.rest.v1.paths) = {{ path: \"/a\" {fixed} }};")
    };
    for (method, why) in [
        (http("get: \"/a/{nothing}\""), "there is no field nothing"),
        (http("get: \"/a/{thing.nothing}\""), "there is no field thing.nothing"),
        (http("get: \"/a/{id.id}\""), "there is no field id.id"),
        (http("get: \"/a/{things.id}\""), "there is no field things.id"),
        (http("post: \"/a\" body: \"nothing\""), "there is no field nothing for the body"),
        (http("post: \"/a\" body: \"id\""), "the body id is not a message"),
        (http("post: \"/a\" body: \"things\""), "there is no field things for the body"),
        (
            http("get: \"/a\" response_body: \"nothing\""),
            "there is no field nothing in the response",
        ),
        (http("get: \"/a\" response_body: \"id\""), "the response_body is not a message"),
        (fixed("nothing", "x"), "there is no field nothing"),
        (fixed("on", "x"), "on has an invalid value"),
        (
            http("post: \"/a\"") + "option (clinic.rest.v1.created) = \"/a/{nothing}/\";",
            "there is no field nothing",
        ),
    ] {
        let error = refused(&[&method]);
        assert!(error.contains(why), "{error} instead of {why}");
        assert!(error.contains("clinic.probe.v1.Probe.Call0: /a"), "{error}");
    }
    routes(&[&fixed("on", "true"), &http("get: \"/b/{thing.thing.id}\"")]).unwrap();
}

#[test]
fn what_has_no_form_in_json_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (method, why) in [
        ("rpc Call(stream Thing) returns (Thing)", "streams are not supported over JSON"),
        ("rpc Call(Thing) returns (stream Thing)", "streams are not supported over JSON"),
        ("rpc Call(Raw) returns (Thing)", "clinic.probe.v1.Raw.data: bytes is not supported"),
    ] {
        let method = format!("{method} {{ {} }}", http("post: \"/a\" body: \"*\""));
        let outcome = Routes::from_descriptors(&descriptors(directory.path(), &method));
        let error = outcome.err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn the_contracts_paths_are_found_with_and_without_the_slash() {
    let routes = contract();
    let id = "0190f3c6-0000-7000-8000-000000000000";
    for (method, path, rpc, captured) in [
        (Method::GET, "/api/patients".to_owned(), "PatientService/ListPatients", vec![]),
        (Method::HEAD, "/api/patients".to_owned(), "PatientService/ListPatients", vec![]),
        (Method::POST, "/api/patients".to_owned(), "PatientService/CreatePatient", vec![]),
        (Method::GET, format!("/api/patients/{id}"), "PatientService/GetPatient", vec![id]),
        (Method::DELETE, format!("/api/patients/{id}"), "PatientService/DeletePatient", vec![id]),
        // Literal segments take precedence over parameters.
        (Method::GET, "/api/patients/batch".to_owned(), "PatientService/BatchGetPatients", vec![]),
        (Method::GET, "/api/patients/batc".to_owned(), "PatientService/GetPatient", vec!["batc"]),
        (
            Method::GET,
            format!("/api/mappings/{id}"),
            "AssignmentService/ListPatientDoctors",
            vec![id],
        ),
        (
            Method::PUT,
            format!("/api/mappings/{id}"),
            "AssignmentService/UpdateAssignment",
            vec![id],
        ),
        // Percent-encoded, because it is not yet known to be UTF-8.
        (Method::GET, "/api/users/%FF%2F".to_owned(), "AuthService/GetUser", vec!["%FF%2F"]),
    ] {
        for path in [path.clone(), format!("{path}/")] {
            let (found, said) = find(&routes, &method, &path).unwrap_or_else(|| panic!("{path}"));
            assert!(found.ends_with(rpc), "{path}: {found}");
            assert_eq!(said, captured);
        }
    }
    for path in
        ["/", "", "/api", "/api//patients", "/api/patients//", "/api/patients/a/b", "/API/patients"]
    {
        assert!(matches!(routes.find(&Method::GET, path), Route::NotFound), "{path}");
    }
    let Route::MethodNotAllowed(methods) = routes.find(&Method::DELETE, "/api/patients/") else {
        panic!()
    };
    assert!(
        methods.len() == 2 && methods.contains(&&Method::GET) && methods.contains(&&Method::POST)
    );
}

#[test]
fn what_begins_like_the_api_is_meant_for_it() {
    let routes = contract();
    for path in ["/api", "/api/", "/api/nothing", "/auth/nothing"] {
        assert!(routes.is_under(path), "{path}");
    }
    for path in ["", "/", "/apis", "/ap", "/livez", "/clinic.auth.v1.AuthService/Login", "api"] {
        assert!(!routes.is_under(path), "{path}");
    }
}

#[test]
fn every_path_of_the_contract_is_found_by_itself() {
    let routes = contract();
    for binding in routes.bindings() {
        let path = binding.path.replace(['{', '}'], "x");
        let found = find(&routes, &binding.method, &path).map(|(rpc, _)| rpc);
        assert_eq!(found, Some(binding.rpc.as_str()), "{path}");
    }
    assert!(routes.bindings().count() > 50);
}
