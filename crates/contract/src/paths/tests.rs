use std::path::Path as File;

use prost_reflect::DescriptorPool;

use super::*;

/// Returns the paths of a method with these options.
fn read_options(options: &str) -> Result<Option<Paths>> {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "syntax = \"proto3\";
        package clinic.probe.v1;
        import \"clinic/rest/v1/rest.proto\";
        import \"google/api/annotations.proto\";
        message Thing {{ string id = 1; Thing thing = 2; }}
        service Probe {{ rpc Call(Thing) returns (Thing) {{ {options} }} }}"
    );
    std::fs::write(directory.path().join("probe.proto"), text).unwrap();
    let root = File::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (contract, third_party) = (root.join("proto"), root.join("third_party/proto"));
    let mut compiler = protox::Compiler::new([directory.path(), &contract, &third_party]).unwrap();
    compiler.include_imports(true).open_file("probe.proto").unwrap();
    let pool = DescriptorPool::decode(&*compiler.encode_file_descriptor_set()).unwrap();
    let service = pool.get_service_by_name("clinic.probe.v1.Probe").unwrap();
    paths(&service.methods().next().unwrap())
}

fn said(options: &str) -> Paths {
    read_options(options).unwrap().unwrap()
}

fn refused(options: &str) -> String {
    read_options(options).err().unwrap().to_string()
}

#[test]
fn a_method_may_have_no_paths() {
    assert!(read_options("").unwrap().is_none());
}

#[test]
fn all_parts_of_an_http_rule_are_read() {
    let paths = said(
        "option (google.api.http) = {
            put: \"/api/things/{id}\" body: \"thing\" response_body: \"thing\"
            additional_bindings: { post: \"/api/things\" body: \"*\" }
            additional_bindings: { get: \"/a.b/c-d/e_f/{thing.id}/{id}\" }
            additional_bindings: { patch: \"/api\" }
            additional_bindings: { delete: \"/api\" }
        };
        option (clinic.rest.v1.created) = \"/api/things/{id}/\";",
    );
    assert_eq!(paths.created.as_deref(), Some("/api/things/{id}/"));
    let verbs: Vec<_> = paths.all.iter().map(|path| path.verb).collect();
    assert_eq!(verbs, [Verb::Put, Verb::Post, Verb::Get, Verb::Patch, Verb::Delete]);
    let [put, post, get, ..] = paths.all.as_slice() else { panic!() };
    assert_eq!(put.path, "/api/things/{id}");
    assert!(put.body == Body::Field("thing".to_owned()) && post.body == Body::All);
    assert!(get.body == Body::None);
    assert_eq!(
        (put.response_body.as_deref(), post.response_body.as_deref()),
        (Some("thing"), None)
    );
    assert_eq!(get.captures().collect::<Vec<_>>(), ["thing.id", "id"]);
    assert!(paths.all.iter().all(|path| path.fixed.is_empty() && path.only.is_empty()));
}

#[test]
fn the_options_of_a_path_apply_to_all_its_http_methods() {
    let paths = said(
        "option (google.api.http) = {
            put: \"/a\"
            additional_bindings: { patch: \"/a\" }
            additional_bindings: { get: \"/b\" }
        };
        option (clinic.rest.v1.paths) = {
            path: \"/a\"
            fixed: [{ field: \"id\" value: \"me\" }, { field: \"thing.id\" value: \"x\" }]
            only: [ROLE_ADMIN, ROLE_STAFF]
        };",
    );
    for (path, fixed, only) in [
        (0, vec![("id", "me"), ("thing.id", "x")], vec![1, 2]),
        (1, vec![("id", "me"), ("thing.id", "x")], vec![1, 2]),
        (2, vec![], vec![]),
    ] {
        let path = &paths.all[path];
        let found: Vec<_> =
            path.fixed.iter().map(|f| (f.field.as_str(), f.value.as_str())).collect();
        assert_eq!((found, &path.only), (fixed, &only));
    }
}

#[test]
fn the_error_for_an_unsupported_rule_names_the_method() {
    for path in [
        "",
        "/",
        "a",
        "a/b",
        "/a/",
        "//a",
        "/a//b",
        "/a:verb",
        "/*",
        "/**",
        "/a/{id=*}",
        "/{id=a/**}",
        "/{}",
        "/{id",
        "/id}",
        "/a{id}",
        "/{id}b",
        "/{a b}",
        "/ä",
        "/a b",
        "/a?b",
        "/a%20b",
        "/a#b",
    ] {
        let error = refused(&format!("option (google.api.http) = {{ get: \"{path}\" }};"));
        assert!(error.starts_with("clinic.probe.v1.Probe.Call: "), "{error}");
        assert!(error.contains(&format!("the path {path} has segments")), "{error}");
    }
    let error = refused(
        "option (google.api.http) = { get: \"/a\" additional_bindings: { get: \"/a/*\" } };",
    );
    assert!(error.contains("/a/*"), "{error}");
}

#[test]
fn a_rule_needs_a_supported_http_method() {
    for rule in ["", "body: \"*\"", "custom: { kind: \"HEAD\" path: \"/a\" }"] {
        let error = refused(&format!("option (google.api.http) = {{ {rule} }};"));
        assert!(error.contains("has no HTTP method"), "{error}");
    }
}

#[test]
fn options_for_an_unknown_path_are_refused() {
    let error = refused(
        "option (google.api.http) = { get: \"/a\" };
        option (clinic.rest.v1.paths) = { path: \"/a/\" only: [ROLE_ADMIN] };",
    );
    assert!(error.contains("/a/ is not a path of its google.api.http rule"), "{error}");
}
