//! Private fields stay out of URLs, because proxies log them. The exceptions are page tokens, which
//! are encrypted, and the name in a search, because the search is a GET (`docs/rest.md`).

use clinic_contract::{Body, Path};
use clinic_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, MethodDescriptor};

#[test]
fn no_private_field_is_in_a_url_but_the_query_of_a_search() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let private = pool.get_extension_by_name("clinic.access.v1.phi").unwrap();
    let mut found = Vec::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let Some(paths) = clinic_contract::paths(&method).unwrap() else { continue };
        for path in &paths.all {
            for field in in_the_url(&method, path) {
                let field = method.input().get_field_by_name(&field).unwrap();
                if field.name() != "page_token"
                    && field.options().get_extension(&private).as_bool() == Some(true)
                {
                    found.push(format!("{} {}", path.path, field.name()));
                }
            }
        }
    }
    found.sort();
    assert_eq!(
        found,
        ["/api/doctors query", "/api/doctors/all-patients query", "/api/patients query"]
    );
}

/// Returns the request fields that are not in the body.
fn in_the_url(method: &MethodDescriptor, path: &Path) -> Vec<String> {
    let input = method.input();
    let fields = input.fields().map(|field| field.name().to_owned());
    match &path.body {
        Body::None => fields.collect(),
        Body::Field(body) => fields.filter(|field| field != body).collect(),
        Body::All => path.captures().filter(|field| !field.contains('.')).map(Into::into).collect(),
    }
}
