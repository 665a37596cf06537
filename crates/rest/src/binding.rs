//! One REST path of an RPC: where the request fields come from and how the response is written.

use clinic_contract::{Body, Path, Paths, Result, Verb};
use clinic_proto::validation::{Check, check_of};
use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::MethodDescriptor;

use crate::json::values::from_text;
use crate::schema::{MessageId, Schema, Type};
use crate::wire::FieldPath;

/// One REST path of an RPC.
pub struct Binding {
    pub(crate) method: Method,
    /// Path template from the contract, such as `/api/patients/{id}`, without a trailing slash.
    pub path: String,
    /// The RPC, as `/package.Service/Method`.
    pub rpc: PathAndQuery,
    /// Numbers of the roles that the path is restricted to; empty if it is not.
    pub only: Vec<i32>,
    pub(crate) input: MessageId,
    /// Validates the request; `None` if the message is not defined in a `clinic.*` package.
    pub(crate) check: Option<Check>,
    pub(crate) body: Source,
    pub(crate) captures: Vec<(String, FieldPath)>,
    /// Encoded fields with fixed values, appended to every request.
    pub(crate) fixed: Vec<u8>,
    /// Names of the request fields that the path sets.
    pub(crate) of_path: Vec<String>,
    pub(crate) etag: Option<FieldPath>,
    pub(crate) request_id: Option<FieldPath>,
    pub(crate) update: Option<Update>,
    pub(crate) output: Output,
}

/// Which part of the request message the HTTP body maps to.
pub(crate) enum Source {
    Nothing,
    Everything,
    Field { name: String, number: u32, message: MessageId },
}

/// The update mask of a method.
pub(crate) struct Update {
    pub(crate) mask: FieldPath,
    /// Whether the mask defaults to `*` (PUT). Otherwise it defaults to the fields in the body.
    pub(crate) replace: bool,
}

/// How the response is written.
pub(crate) struct Output {
    pub(crate) message: MessageId,
    /// The response field that becomes the HTTP body, instead of the whole message.
    pub(crate) part: Option<FieldPath>,
    /// URL of the created resource: alternating text and response fields.
    pub(crate) created: Option<Vec<(String, Option<FieldPath>)>>,
    pub(crate) etag: Option<FieldPath>,
    pub(crate) next_page: Option<FieldPath>,
    /// Whether the HTTP response is empty (DELETE).
    pub(crate) empty: bool,
}

impl Binding {
    /// Returns whether requests have a body.
    pub fn has_body(&self) -> bool {
        !matches!(self.body, Source::Nothing)
    }

    pub(crate) fn new(
        schema: &mut Schema,
        method: &MethodDescriptor,
        paths: &Paths,
        path: &Path,
    ) -> Result<Self> {
        if method.is_client_streaming() || method.is_server_streaming() {
            return Err("streams are not supported over JSON".into());
        }
        let input = schema.add(&method.input())?;
        let output = schema.add(&method.output())?;
        let find = |name: &str| {
            FieldPath::find(schema, input, name).ok_or_else(|| format!("there is no field {name}"))
        };
        let optional = |name: &str| FieldPath::find(schema, input, name);
        let body = match &path.body {
            Body::None => Source::Nothing,
            Body::All => Source::Everything,
            Body::Field(name) => match schema.message(input).named(name) {
                Some((_, field)) if !field.repeated => match field.kind {
                    Type::Message(message) => {
                        Source::Field { name: name.clone(), number: field.number, message }
                    }
                    _ => return Err(format!("the body {name} is not a message").into()),
                },
                _ => return Err(format!("there is no field {name} for the body").into()),
            },
        };
        let of_body = |name: &str| match &path.body {
            Body::Field(body) => optional(&format!("{body}.{name}")),
            Body::None | Body::All => None,
        };
        let mut captures = Vec::new();
        for name in path.captures() {
            let field = find(name)?;
            if field.repeated || matches!(field.kind, Type::Message(_)) {
                return Err(format!("{name} cannot be a path parameter").into());
            }
            captures.push((name.to_owned(), field));
        }
        let rpc = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut fixed = Vec::new();
        for clinic_contract::Fixed { field: name, value } in &path.fixed {
            let field = find(name)?;
            let value = from_text(schema, field.kind, value);
            field.write(value.ok_or_else(|| format!("{name} has an invalid value"))?, &mut fixed);
        }
        let of_path = path.fixed.iter().map(|fixed| &fixed.field);
        let of_path = captures.iter().map(|(name, _)| name).chain(of_path).cloned().collect();
        let update =
            optional("update_mask").map(|mask| Update { mask, replace: path.verb == Verb::Put });
        // The etag in the body counts in updates only: a new resource has none.
        let etag = optional("etag").or_else(|| update.as_ref().and_then(|_| of_body("etag")));
        Ok(Self {
            method: verb(path.verb),
            path: path.path.clone(),
            rpc: rpc.parse()?,
            only: path.only.clone(),
            input,
            check: check_of(method.input().full_name()),
            body,
            captures,
            fixed,
            of_path,
            etag,
            request_id: optional("request_id"),
            update,
            output: self::output(schema, output, paths, path)?,
        })
    }
}

fn output(schema: &Schema, whole: MessageId, paths: &Paths, path: &Path) -> Result<Output> {
    let find = |name: &String| {
        let field = FieldPath::find(schema, whole, name);
        field.ok_or_else(|| format!("there is no field {name} in the response"))
    };
    let part = path.response_body.as_ref().map(find).transpose()?;
    let message = match &part {
        None => whole,
        Some(FieldPath { kind: Type::Message(part), repeated: false, .. }) => *part,
        Some(_) => return Err("the response_body is not a message".into()),
    };
    let created = paths.created.as_ref().map(|template| location(schema, whole, template));
    Ok(Output {
        message,
        part,
        created: created.transpose()?,
        etag: FieldPath::find(schema, message, "etag"),
        next_page: FieldPath::find(schema, message, "next_page_token"),
        empty: path.verb == Verb::Delete,
    })
}

/// Splits a template such as `/api/users/{user.id}/` into alternating text and fields.
fn location(
    schema: &Schema,
    message: MessageId,
    template: &str,
) -> Result<Vec<(String, Option<FieldPath>)>> {
    let mut parts = Vec::new();
    for part in template.split('}') {
        parts.push(match part.split_once('{') {
            None => (part.to_owned(), None),
            Some((text, name)) => {
                let field = FieldPath::find(schema, message, name);
                let field = field.ok_or_else(|| format!("{template}: there is no field {name}"))?;
                (text.to_owned(), Some(field))
            }
        });
    }
    Ok(parts)
}

fn verb(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}
