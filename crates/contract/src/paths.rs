//! Reads the paths of the REST API from `google.api.http` and the options of `clinic.rest.v1`. Only
//! the path syntax that the contract uses is supported: segments that are literals or `{field}`.

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use crate::{Result, extension};

/// The paths of one method.
pub struct Paths {
    pub all: Vec<Path>,
    /// URL of the created resource, with `{field}` for response fields.
    pub created: Option<String>,
}

/// One path that leads to a method.
pub struct Path {
    pub verb: Verb,
    /// Such as `/api/patients/{id}`, without a trailing slash.
    pub path: String,
    pub body: Body,
    /// The response field that becomes the HTTP body, instead of the whole message.
    pub response_body: Option<String>,
    /// Request fields that the path sets to fixed values.
    pub fixed: Vec<Fixed>,
    /// Numbers of the `clinic.access.v1.Role`s that may use the path. If empty, only the method's
    /// rule applies.
    pub only: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Which part of the request message the HTTP body maps to.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// There is no body.
    None,
    /// The whole message, except the fields that the path sets.
    All,
    /// This field.
    Field(String),
}

/// A request field that a path sets to a fixed value.
#[derive(Clone)]
pub struct Fixed {
    /// Such as `id` or `patient.user_id`.
    pub field: String,
    pub value: String,
}

impl Path {
    /// Returns the fields in the path, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// Reads the paths of a method; `None` for a method without REST.
pub fn paths(method: &MethodDescriptor) -> Result<Option<Paths>> {
    let options = method.options();
    let Some(Value::Message(rule)) = extension(&options, "google.api.http") else {
        return Ok(None);
    };
    read(&rule, &options).map(Some).map_err(|e| format!("{}: {e}", method.full_name()).into())
}

fn read(rule: &DynamicMessage, options: &DynamicMessage) -> Result<Paths> {
    let mut all = vec![path(rule)?];
    for more in messages(rule, "additional_bindings") {
        if messages(more, "additional_bindings").next().is_some() {
            return Err("additional_bindings must not be nested".into());
        }
        all.push(path(more)?);
    }
    let more = extension(options, "clinic.rest.v1.paths");
    for option in more.iter().filter_map(Value::as_list).flatten().filter_map(Value::as_message) {
        let name = text(option, "path");
        let mut known = all.iter_mut().filter(|p| p.path == name).peekable();
        if known.peek().is_none() {
            return Err(format!("{name} is not a path of its google.api.http rule").into());
        }
        for path in known {
            if !path.fixed.is_empty() || !path.only.is_empty() {
                return Err(format!("{name} has two clinic.rest.v1.paths options").into());
            }
            path.fixed = messages(option, "fixed")
                .map(|f| Fixed { field: text(f, "field"), value: text(f, "value") })
                .collect();
            path.only = values(option, "only").filter_map(Value::as_enum_number).collect();
        }
    }
    let created = extension(options, "clinic.rest.v1.created");
    let created = created.and_then(|path| path.as_str().map(str::to_owned));
    Ok(Paths { all, created })
}

/// Reads a `google.api.HttpRule`, without its additional bindings.
fn path(rule: &DynamicMessage) -> Result<Path> {
    let verbs = [
        ("get", Verb::Get),
        ("post", Verb::Post),
        ("put", Verb::Put),
        ("patch", Verb::Patch),
        ("delete", Verb::Delete),
    ];
    let given = verbs.into_iter().find(|(name, _)| rule.has_field_by_name(name));
    let (name, verb) = given.ok_or("its google.api.http rule has no HTTP method")?;
    let body = text(rule, "body");
    let response_body = text(rule, "response_body");
    if matches!(verb, Verb::Get | Verb::Delete) && !body.is_empty() {
        return Err("GET and DELETE must not have a body".into());
    }
    Ok(Path {
        verb,
        path: checked(text(rule, name))?,
        body: match body.as_str() {
            "" => Body::None,
            "*" => Body::All,
            field => Body::Field(field.to_owned()),
        },
        response_body: (!response_body.is_empty()).then_some(response_body),
        fixed: Vec::new(),
        only: Vec::new(),
    })
}

fn checked(path: String) -> Result<String> {
    let plain = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let mut segments = path.strip_prefix('/').unwrap_or_default().split('/');
    let understood = segments.all(|segment| {
        let field = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        plain(field.unwrap_or(segment))
    });
    match understood {
        true => Ok(path),
        false => Err(format!("the path {path} has segments other than text and {{field}}").into()),
    }
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn values<'a>(
    message: &'a DynamicMessage,
    field: &str,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    let set = message.fields().find_map(|(f, value)| (f.name() == field).then_some(value));
    set.and_then(Value::as_list).into_iter().flatten()
}

fn messages<'a>(
    message: &'a DynamicMessage,
    field: &str,
) -> impl Iterator<Item = &'a DynamicMessage> + use<'a> {
    values(message, field).filter_map(Value::as_message)
}

#[cfg(test)]
mod tests;
