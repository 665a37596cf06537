//! Describes an operation: one HTTP method of one path.

use clinic_contract::{Body, Field, Path, Paths, Result};
use clinic_proto::access::v1::rule::Who;
use clinic_proto::access::v1::{Role, Rule};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::comments::{comment, summary};
use super::errors::{FAILURES, header};
use super::examples::{self, example};
use super::schemas::Schemas;
use super::{Object, Use, non_null, reference};
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
    pub(crate) index: usize,
    pub(crate) path: &'a Path,
    /// The path with the parameter names that the document uses.
    pub(crate) template: &'a str,
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
        let earlier = self.paths.all.iter().take(self.index);
        if self.index > 0 && self.paths.all.first().is_some_and(|p| p.path != self.path.path) {
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

    pub(crate) fn describe(&self, schema: &Schema, schemas: &mut Schemas) -> Result<Object> {
        let callers = self.callers()?;
        let about = comment(&self.method.parent_file(), self.method.path());
        let roles = match &callers {
            Who::AnyOf(_) => format!("\n\nFor the roles {}.", self.roles(&callers).join(", ")),
            Who::Public(_) => "\n\nFor everyone, with or without a token.".into(),
            Who::SignedIn(_) => "\n\nFor every signed-in user.".into(),
        };
        let fixed: String = self
            .path
            .fixed
            .iter()
            .map(|fixed| format!("\n\nOn this path `{}` is `{}`.", fixed.field, fixed.value))
            .collect();
        let parameters = self.parameters(schema, schemas)?;
        Ok(non_null(json!({
            "operationId": self.id(),
            "tags": [self.tag],
            "summary": summary(&about),
            "description": about + &fixed + &roles,
            "security": matches!(callers, Who::Public(_)).then(|| json!([])),
            "parameters": (!parameters.is_empty()).then_some(parameters),
            "requestBody": self.body(schemas)?,
            "responses": self.responses(schemas, &callers)?,
        })))
    }

    /// Returns the callers that the method's access rule allows.
    fn callers(&self) -> Result<Who> {
        let options = self.method.options();
        let rule = options.extensions().find(|(e, _)| e.full_name() == "clinic.access.v1.rule");
        let rule = rule.and_then(|(_, value)| value.as_message()?.transcode_to::<Rule>().ok());
        let callers = rule.and_then(|rule| rule.who);
        callers.ok_or_else(|| format!("{} has no access rule", self.method.full_name()).into())
    }

    /// Returns the roles that both the method and the path allow. Services do not sign in.
    fn roles(&self, callers: &Who) -> Vec<&'static str> {
        let Who::AnyOf(roles) = callers else { return Vec::new() };
        let here = |role: &Role| {
            let only = &self.path.only;
            *role != Role::Service && (only.is_empty() || only.contains(&i32::from(*role)))
        };
        let name = |role: Role| role.as_str_name().trim_start_matches("ROLE_");
        roles.roles().filter(here).map(name).collect()
    }

    fn parameters(&self, schema: &Schema, schemas: &mut Schemas) -> Result<Vec<Object>> {
        let mut parameters = Vec::new();
        let input = self.method.input();
        let names = self.template.split('/');
        let names = names.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        for (field, name) in self.path.captures().zip(names) {
            let (field, options) = find(&input, field)?;
            let schema = schemas.request_field(&field, &options, true)?;
            parameters.push(parameter("path", name, &field, schema));
        }
        let options = clinic_contract::message(&input)?;
        for (field, options) in input.fields().zip(&options.fields) {
            // The first two are headers. A mask would make bodies valid that the schema rejects.
            let is_sent_otherwise = matches!(field.name(), "etag" | "request_id" | "update_mask");
            if is_sent_otherwise || self.binding.in_query(schema, field.name()).is_none() {
                continue;
            }
            let schema = schemas.request_field(&field, options, options.required)?;
            let mut parameter = parameter("query", field.name(), &field, schema);
            parameter.insert("required".into(), json!(options.required));
            parameters.push(parameter);
        }
        if self.binding.etag.is_some() {
            parameters.push(non_null(json!({
                "name": "If-Match",
                "in": "header",
                "description": "The etag from a response. Nothing changes if it is not current.",
                "schema": { "type": "string", "pattern": ETAG },
            })));
        }
        if self.binding.request_id.is_some() {
            let (field, options) = find(&input, "request_id")?;
            let schema = schemas.request_field(&field, &options, true)?;
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
                let here = self.index == 0 || self.path.fixed.is_empty();
                let last = self.path.path.rsplit('/').next().filter(|_| !here);
                let name = format!("{}{}", input.name(), last.map(camel).unwrap_or_default());
                (input, self.binding.of_path.as_slice(), name)
            }
            Body::Field(name) => {
                let message = message_of(&input, name)?;
                let name = format!("{}{to:?}", message.name());
                (message, [].as_slice(), name)
            }
        };
        let schema = schemas.message(&message, to, without, &name)?;
        let required = schemas.rejects_empty_object(&schema);
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

    fn responses(&self, schemas: &mut Schemas, callers: &Who) -> Result<Object> {
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
        let mut success = non_null(json!({ "description": about, "headers": headers }));
        if !output.empty {
            let message = match &self.path.response_body {
                None => self.method.output(),
                Some(part) => message_of(&self.method.output(), part)?,
            };
            let content = json!({ JSON: { "schema": schemas.response(&message)? } });
            success.insert("content".into(), content);
        }
        let mut responses = Object::from_iter([(code.to_owned(), success.into())]);
        for (code, name, _) in FAILURES.iter().filter(|(code, ..)| self.can_fail(*code, callers)) {
            responses.insert(code.to_string(), reference("responses", name).into());
        }
        Ok(responses)
    }

    fn can_fail(&self, code: u16, callers: &Who) -> bool {
        match code {
            // The operator can close a public create (registration).
            403 => match callers {
                Who::AnyOf(_) => true,
                Who::Public(_) => self.paths.created.is_some(),
                Who::SignedIn(_) => false,
            },
            404 => names_a_resource(&self.method.input()),
            409 => self.binding.method != http::Method::GET,
            412 => self.binding.etag.is_some(),
            408 | 413 | 415 => self.binding.has_body(),
            _ => true,
        }
    }
}

/// Returns whether a request names a resource by its id.
fn names_a_resource(message: &MessageDescriptor) -> bool {
    let Ok(options) = clinic_contract::message(message) else { return true };
    message.fields().zip(options.fields).any(|(field, options)| {
        let rules = options.rules.items.as_deref().unwrap_or(&options.rules);
        let named = rules.formats.iter().any(|format| format == "uuid" || format == "id_or_me");
        let within = match field.kind() {
            Kind::Message(inner) if inner.full_name().starts_with("clinic.") => {
                names_a_resource(&inner)
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
            let options = clinic_contract::message(message)?.fields;
            let options =
                options.into_iter().find(|options| options.name == first).ok_or_else(missing)?;
            Ok((field, options))
        }
    }
}

/// Returns the message type of a field.
fn message_of(message: &MessageDescriptor, field: &str) -> Result<MessageDescriptor> {
    match find(message, field)?.0.kind() {
        Kind::Message(inner) => Ok(inner),
        _ => Err(format!("{field} is not a message").into()),
    }
}

fn parameter(place: &str, name: &str, field: &FieldDescriptor, mut schema: Object) -> Object {
    if let Some(example) = example(field) {
        schema.insert("examples".into(), json!([example]));
    }
    non_null(json!({
        "name": name,
        "in": place,
        "description": comment(&field.parent_file(), field.path()),
        "required": (place == "path").then_some(true),
        "schema": schema,
    }))
}

/// `register-doctor` → `RegisterDoctor`.
fn camel(segment: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    };
    segment.split(['-', '_']).map(word).collect()
}
