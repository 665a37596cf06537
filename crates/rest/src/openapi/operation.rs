//! Describes an operation: one HTTP method of one path.

use clinic_contract::{Body, Field, Path, Paths, Result};
use clinic_proto::access::v1::rule::Who;
use clinic_proto::access::v1::{Role, Rule};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::comments::{comment, summary};
use super::errors::{FAILURES, header};
use super::schemas::{Schemas, describe};
use super::{Object, Use, examples, put};
use crate::binding::Binding;
use crate::naming::last_name;
use crate::schema::Schema;

/// One HTTP method of one path.
pub(crate) struct Operation<'a> {
    /// Group in the document.
    pub(crate) tag: &'a str,
    pub(crate) method: &'a MethodDescriptor,
    pub(crate) paths: &'a Paths,
    /// Index in the RPC's paths.
    pub(crate) place: usize,
    pub(crate) path: &'a Path,
    pub(crate) binding: &'a Binding,
}

const JSON: &str = "application/json";
/// One etag, with or without quotes, or `*`.
const ETAG: &str = r#"^(?:"[\t -+\--~]{1,64}"|[\t !#-+\--~]{1,64})$"#;
const MERGE_PATCH: &str = "application/merge-patch+json";

impl Operation<'_> {
    /// Returns the RPC's name, with a unique suffix for each path except the first.
    pub(crate) fn id(&self) -> String {
        let mut id = self.method.name().to_owned();
        let earlier = self.paths.all.iter().take(self.place);
        if self.place > 0 && self.paths.all.first().is_some_and(|p| p.path != self.path.path) {
            for word in self.path.path.split('/').filter(|word| !matches!(*word, "" | "api")) {
                let field = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                let by = field.map(|field| format!("by_{}", last_name(field)));
                id.push('_');
                id.push_str(&by.unwrap_or_else(|| word.replace('-', "_")));
            }
        }
        if earlier.clone().any(|path| path.path == self.path.path) {
            id.push('_');
            id.push_str(&self.binding.method.as_str().to_ascii_lowercase());
        }
        id
    }

    pub(crate) fn describe(
        &self,
        schema: &Schema,
        schemas: &mut Schemas,
        names: &[String],
    ) -> Result<Value> {
        let who = self.who()?;
        let about = comment(&self.method.parent_file(), self.method.path());
        let roles = match &who {
            Who::AnyOf(_) => format!("\n\nFor the roles {}.", self.roles(&who).join(", ")),
            Who::Public(_) => "\n\nFor everyone, with or without a token.".into(),
            Who::SignedIn(_) => "\n\nFor every signed-in user.".into(),
        };
        let fixed: String = self
            .path
            .fixed
            .iter()
            .map(|fixed| format!("\n\nOn this path `{}` is `{}`.", fixed.field, fixed.value))
            .collect();
        let mut operation = json!({
            "operationId": self.id(),
            "tags": [self.tag],
            "summary": summary(&about),
            "description": about + &fixed + &roles,
        });
        if let Who::Public(_) = who {
            put(&mut operation, "security", json!([]));
        }
        let parameters = self.parameters(schema, schemas, names)?;
        if !parameters.is_empty() {
            put(&mut operation, "parameters", parameters.into());
        }
        if let Some(body) = self.body(schemas)? {
            put(&mut operation, "requestBody", body);
        }
        put(&mut operation, "responses", self.responses(schemas, &who)?.into());
        Ok(operation)
    }

    /// Returns the method's access rule.
    fn who(&self) -> Result<Who> {
        let options = self.method.options();
        let rule = options.extensions().find(|(e, _)| e.full_name() == "clinic.access.v1.rule");
        let rule = rule.and_then(|(_, value)| value.as_message()?.transcode_to::<Rule>().ok());
        let who = rule.and_then(|rule| rule.who);
        who.ok_or_else(|| format!("{} has no access rule", self.method.full_name()).into())
    }

    /// Returns the roles that both the method and the path allow. Services do not sign in.
    fn roles(&self, who: &Who) -> Vec<&'static str> {
        let Who::AnyOf(roles) = who else { return Vec::new() };
        let here = |role: &Role| {
            let only = &self.path.only;
            *role != Role::Service && (only.is_empty() || only.contains(&i32::from(*role)))
        };
        let name = |role: Role| role.as_str_name().trim_start_matches("ROLE_");
        roles.roles().filter(here).map(name).collect()
    }

    fn parameters(
        &self,
        schema: &Schema,
        schemas: &mut Schemas,
        names: &[String],
    ) -> Result<Vec<Value>> {
        let mut parameters = Vec::new();
        let input = self.method.input();
        for (field, name) in self.path.captures().zip(names) {
            let (field, said) = find(&input, field)?;
            parameters.push(parameter("path", name, &field, schemas.given(&field, &said, true)?));
        }
        let said = clinic_contract::message(&input)?;
        for (field, said) in input.fields().zip(&said.fields) {
            // The first two are headers. A mask would make bodies valid that the schema rejects.
            let otherwise = matches!(field.name(), "etag" | "request_id" | "update_mask");
            if otherwise || self.binding.in_query(schema, field.name()).is_none() {
                continue;
            }
            let schema = schemas.given(&field, said, said.required)?;
            let mut parameter = parameter("query", field.name(), &field, schema);
            put(&mut parameter, "required", json!(said.required));
            parameters.push(parameter);
        }
        if self.binding.etag.is_some() {
            parameters.push(json!({
                "name": "If-Match",
                "in": "header",
                "description": "The etag from a response. Nothing changes if it is not current.",
                "schema": { "type": "string", "pattern": ETAG },
            }));
        }
        if self.binding.request_id.is_some() {
            let (field, said) = find(&input, "request_id")?;
            let schema = schemas.given(&field, &said, true)?;
            parameters.push(parameter("header", "Idempotency-Key", &field, schema));
        }
        Ok(parameters)
    }

    fn body(&self, schemas: &mut Schemas) -> Result<Option<Value>> {
        let input = self.method.input();
        let to = match &self.binding.update {
            Some(update) if update.replace => Use::Replace,
            Some(_) => Use::Patch,
            None => Use::Create,
        };
        let fixed: Vec<_> = self.path.fixed.iter().map(|fixed| fixed.value.as_str()).collect();
        let (message, without, name) = match &self.path.body {
            Body::None => return Ok(None),
            Body::All => {
                let here = self.place == 0 || self.path.fixed.is_empty();
                let last = self.path.path.rsplit('/').next().filter(|_| !here);
                let name = format!("{}{}", input.name(), last.map(camel).unwrap_or_default());
                (input, self.binding.of_path.as_slice(), name)
            }
            Body::Field(name) => match find(&input, name)?.0.kind() {
                Kind::Message(message) => {
                    let name = format!("{}{to:?}", message.name());
                    (message, [].as_slice(), name)
                }
                _ => return Err(format!("the body {name} is not a message").into()),
            },
        };
        let schema = schemas.message(&message, to, without, &name)?;
        let required = schemas.asks_for_something(&schema);
        let content = json!({
            "schema": schema,
            "example": examples::body(&message, to, without, &fixed)?,
        });
        let mut kinds = Object::from_iter([(JSON.to_owned(), content.clone())]);
        if to == Use::Patch {
            kinds.insert(MERGE_PATCH.to_owned(), content);
        }
        Ok(Some(json!({ "required": required, "content": kinds })))
    }

    fn responses(&self, schemas: &mut Schemas, who: &Who) -> Result<Object> {
        let output = &self.binding.output;
        let (code, about) = match (&output.created, output.empty) {
            (Some(_), _) => ("201", "Created."),
            (None, true) => ("204", "Success, without content."),
            (None, false) => ("200", "Success."),
        };
        let mut headers = Object::from_iter([header("X-Request-Id")]);
        let has = [
            ("ETag", output.etag.is_some() && !output.empty),
            ("Link", output.next_page.is_some()),
            ("Location", output.created.is_some()),
        ];
        headers.extend(has.into_iter().filter(|(_, has)| *has).map(|(name, _)| header(name)));
        let mut success = json!({ "description": about, "headers": headers });
        if !output.empty {
            let schema = schemas.answer(&self.answered()?)?;
            put(&mut success, "content", json!({ JSON: { "schema": schema } }));
        }
        let mut responses = Object::from_iter([(code.to_owned(), success)]);
        for failure in FAILURES.iter().filter(|failure| self.can_fail(failure.code, who)) {
            responses.insert(failure.code.to_string(), failure.reference());
        }
        Ok(responses)
    }

    /// Returns the message in the response body.
    fn answered(&self) -> Result<MessageDescriptor> {
        let output = self.method.output();
        let Some(part) = &self.path.response_body else { return Ok(output) };
        match find(&output, part)?.0.kind() {
            Kind::Message(message) => Ok(message),
            _ => Err(format!("the response_body {part} is not a message").into()),
        }
    }

    fn can_fail(&self, code: u16, who: &Who) -> bool {
        match code {
            // The operator can close a public create (registration).
            403 => match who {
                Who::AnyOf(_) => true,
                Who::Public(_) => self.paths.created.is_some(),
                Who::SignedIn(_) => false,
            },
            404 => names_something(&self.method.input()),
            409 => self.binding.method != http::Method::GET,
            412 => self.binding.etag.is_some(),
            408 | 413 | 415 => self.binding.has_body(),
            _ => true,
        }
    }
}

/// Returns whether a request names a resource by its id.
fn names_something(message: &MessageDescriptor) -> bool {
    let Ok(said) = clinic_contract::message(message) else { return true };
    message.fields().zip(said.fields).any(|(field, said)| {
        let rules = said.rules.items.as_deref().unwrap_or(&said.rules);
        let named = rules.formats.iter().any(|format| format == "uuid" || format == "id_or_me");
        let within = match field.kind() {
            Kind::Message(inner) if inner.full_name().starts_with("clinic.") => {
                names_something(&inner)
            }
            _ => false,
        };
        (named && field.name() != "request_id") || within
    })
}

/// Finds a field and its options by a dotted name.
fn find(message: &MessageDescriptor, name: &str) -> Result<(FieldDescriptor, Field)> {
    let missing = || format!("{}: there is no field {name}", message.full_name());
    let (first, rest) = match name.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (name, None),
    };
    let field = message.get_field_by_name(first).ok_or_else(missing)?;
    match (rest, field.kind()) {
        (Some(rest), Kind::Message(inner)) => find(&inner, rest),
        (Some(_), _) => Err(missing().into()),
        (None, _) => {
            let said = clinic_contract::message(message)?.fields;
            let said = said.into_iter().find(|said| said.name == first).ok_or_else(missing)?;
            Ok((field, said))
        }
    }
}

fn parameter(place: &str, name: &str, field: &FieldDescriptor, schema: Object) -> Value {
    let mut about = Object::new();
    describe(&mut about, field);
    let mut schema = schema;
    if let Some(examples) = about.remove("examples") {
        schema.insert("examples".into(), examples);
    }
    let mut parameter = json!({ "name": name, "in": place });
    put(&mut parameter, "description", about.remove("description").unwrap_or_default());
    if place == "path" {
        put(&mut parameter, "required", json!(true));
    }
    put(&mut parameter, "schema", schema.into());
    parameter
}

/// `register-doctor` → `RegisterDoctor`.
fn camel(segment: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    };
    segment.split(['-', '_']).map(word).collect()
}
