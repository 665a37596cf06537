//! Generates the OpenAPI 3.1 document of the REST API from the paths, options, field rules and
//! comments of the contract, which the servers use too.

mod comments;
mod errors;
mod examples;
mod operation;
mod rules;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use clinic_contract::Result;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use crate::binding::Binding;
use crate::naming::shown;
use crate::routes::anonymous;
use crate::schema::Schema;
use comments::comment;
use operation::Operation;
use schemas::Schemas;

/// A JSON object, in insertion order.
type Object = Map<String, Value>;

/// How a message is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    Response,
    Create,
    /// PUT: all mutable fields.
    Replace,
    /// PATCH: any of the mutable fields.
    Patch,
}

const ABOUT: &str = "\
The back end of a clinic: accounts, patients, doctors and assignments, as JSON over HTTP.

Sign in with `POST /api/auth/login/` and send the access token as `Authorization: Bearer …`. \
The response to a request for a record that you may not see is 404.

The slash at the end of a path is optional. Unknown names in a body or query are errors. An empty \
query parameter counts as absent. `null` in a body means no value. Read-only fields in a body are \
ignored, so you can send a resource back as you read it.

PUT replaces the resource: omitted mutable fields are reset to their defaults. PATCH changes the \
fields in the body. With `update_mask` in the query, both change the fields in the mask (AIP-134).";

/// Returns the document for an encoded `FileDescriptorSet` with comments.
///
/// # Errors
/// When the contract uses something that the document does not support.
pub fn document(descriptors: &[u8]) -> Result<Value> {
    let pool = DescriptorPool::decode(descriptors)?;
    let (mut schema, mut schemas) = (Schema::default(), Schemas::default());
    let (mut tags, mut paths) = (Vec::new(), Object::new());
    let (mut templates, mut ids) = (HashMap::new(), HashSet::new());
    for service in pool.services() {
        let tag = service.name().strip_suffix("Service").unwrap_or(service.name());
        let mut described = false;
        for method in service.methods() {
            let Some(all) = clinic_contract::paths(&method)? else { continue };
            described = true;
            for (index, path) in all.all.iter().enumerate() {
                let binding = Binding::new(&mut schema, &method, &all, path)?;
                // For OpenAPI, paths that differ only in parameter names are the same path.
                let template = templates.entry(anonymous(&path.path));
                let template: &String = template.or_insert_with(|| shown(&path.path));
                let operation = Operation {
                    tag,
                    method: &method,
                    paths: &all,
                    index,
                    path,
                    template,
                    binding: &binding,
                };
                if !ids.insert(operation.id()) {
                    return Err(format!("duplicate operation {}", operation.id()).into());
                }
                let described = operation.describe(&schema, &mut schemas)?;
                let item = paths.entry(template).or_insert_with(|| json!({}));
                if let Some(item) = item.as_object_mut() {
                    item.insert(binding.method.as_str().to_ascii_lowercase(), described.into());
                }
            }
        }
        if described {
            let about = comment(&service.parent_file(), service.path());
            tags.push(json!({ "name": tag, "description": about }));
        }
    }
    schemas.all.extend(errors::schemas());
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
            "schemas": schemas.all,
            "responses": errors::responses(),
            "headers": errors::headers(),
            "securitySchemes": {
                (BEARER): {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token from the sign-in response.",
                },
            },
        },
    }))
}

/// Name of the security scheme.
const BEARER: &str = "bearerAuth";

/// Returns the fields of an object except those that are null.
fn non_null(object: Value) -> Object {
    let Value::Object(mut fields) = object else { return Object::new() };
    fields.retain(|_, value| !value.is_null());
    fields
}

/// Returns a reference to a component of the document.
fn reference(kind: &str, name: &str) -> Object {
    non_null(json!({ "$ref": format!("#/components/{kind}/{name}") }))
}
