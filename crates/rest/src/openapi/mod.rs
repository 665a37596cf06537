//! The REST API as an OpenAPI 3.1 document. Everything in it is read from where the servers read
//! it: paths and options of the contract, the rules of its fields, and its comments.

mod comments;
mod errors;
mod examples;
mod operation;
mod rules;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use clinic_contract::{Path, Result};
use serde_json::{Map, Value, json};

use crate::binding::Binding;
use crate::naming::{last_name, shown};
use crate::routes::anonymous;
use crate::schema::{Schema, pool};
use comments::comment;
use operation::Operation;
use schemas::Schemas;

/// An object of JSON, in the order in which it is written.
type Object = Map<String, Value>;

const ABOUT: &str = "\
The back end of a clinic: accounts, patients, doctors and who treats whom, as JSON over HTTP.

Sign in by `POST /api/auth/login/` and send the access token as `Authorization: Bearer …`. \
A record that you may not see does not exist: it is answered 404.

Paths work with and without the slash at their end. A name that is not known, in a body or in a query, \
is an error; a parameter of the query that is empty counts as not given. `null` in a body stands for \
no value. Fields that are read-only are ignored, so that what was read can be sent back.

PUT replaces all that can change, PATCH changes what the body names. Either changes what \
`update_mask` in the query names instead (AIP-134), where that is given.";

/// Writes the document from an encoded `FileDescriptorSet` with comments.
///
/// # Errors
/// When the contract says something that the document has no form for.
pub fn document(descriptors: &[u8]) -> Result<Value> {
    let pool = pool(descriptors)?;
    let (mut schema, mut schemas) = (Schema::default(), Schemas::default());
    let (mut tags, mut paths) = (Vec::new(), Object::new());
    let (mut templates, mut ids) = (HashMap::new(), HashSet::new());
    for service in pool.services() {
        let tag = service.name().strip_suffix("Service").unwrap_or(service.name());
        let mut described = false;
        for method in service.methods() {
            let Some(all) = clinic_contract::paths(&method)? else { continue };
            described = true;
            for (place, path) in all.all.iter().enumerate() {
                let binding = Binding::new(&mut schema, &method, &all, path)?;
                // OpenAPI takes two names in one place for one path written twice.
                let template =
                    templates.entry(anonymous(&path.path)).or_insert_with(|| Template::new(path));
                let operation =
                    Operation { tag, method: &method, paths: &all, place, path, binding: &binding };
                if !ids.insert(operation.id()) {
                    return Err(format!("there are two operations {}", operation.id()).into());
                }
                let verb = binding.method.as_str().to_ascii_lowercase();
                let described = operation.describe(&schema, &mut schemas, &template.names)?;
                let item = paths.entry(&template.path).or_insert_with(|| json!({}));
                put(item, &verb, described);
            }
        }
        if described {
            let about = comment(&service.parent_file(), service.path());
            tags.push(json!({ "name": tag, "description": about }));
        }
    }
    schemas.put(errors::schemas());
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Clinic",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ (BEARER): [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_object(),
            "responses": errors::responses(),
            "headers": errors::headers(),
            "securitySchemes": {
                (BEARER): {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token that signing in answers.",
                },
            },
        },
    }))
}

/// The name of the one security scheme.
const BEARER: &str = "bearerAuth";

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// A path as OpenAPI shows it.
struct Template {
    path: String,
    /// What stands in braces, in order.
    names: Vec<String>,
}

impl Template {
    fn new(path: &Path) -> Self {
        let names = path.captures().map(|field| last_name(field).to_owned());
        Self { path: shown(&path.path), names: names.collect() }
    }
}
