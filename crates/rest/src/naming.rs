//! Maps request fields to the names by which clients send them in body, query, path or headers.

use clinic_proto::validation::Violation;

use crate::binding::{Binding, Source};

/// Which request fields came in a header.
#[derive(Clone, Copy, Default)]
pub struct HeaderFields {
    /// In `If-Match`.
    pub etag: bool,
    /// In `Idempotency-Key`.
    pub request_id: bool,
}

/// Where a client sends a request field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// With its name in the body; `body` is the whole body.
    Body(&'a str),
    Path,
    /// In the query or a header.
    Elsewhere,
}

impl Binding {
    /// Names a violation's field as the client sent it. For a path parameter, the message shows the
    /// path.
    pub fn as_sent(&self, violation: Violation, headers: HeaderFields) -> Violation {
        let Violation { field, message } = violation;
        let name = match self.place(&field) {
            Place::Path => return self.in_path(&field, &message),
            Place::Body("etag") if headers.etag => "If-Match",
            Place::Body(name) => name,
            Place::Elsewhere if field == "etag" && headers.etag => "If-Match",
            Place::Elsewhere if field == "request_id" && headers.request_id => "Idempotency-Key",
            Place::Elsewhere => return Violation { field, message },
        };
        Violation::new(name, message)
    }

    pub(crate) fn place<'a>(&self, field: &'a str) -> Place<'a> {
        if self.of_path.iter().any(|of_path| of_path == field) {
            return Place::Path;
        }
        let within = match &self.body {
            Source::Nothing => None,
            Source::Everything => Some(field),
            Source::Field { name, .. } => match field.strip_prefix(name.as_str()) {
                Some("") => Some("body"),
                Some(rest) => rest.strip_prefix('.'),
                None => None,
            },
        };
        within.map_or(Place::Elsewhere, Place::Body)
    }

    /// Returns a violation of a path parameter.
    pub(crate) fn in_path(&self, field: &str, message: &str) -> Violation {
        let path = shown(&self.path);
        Violation::new(last_name(field), format!("{message} (in the path {path})"))
    }
}

/// Returns `/api/patient-profile/{user_id}/` for `/api/patient-profile/{patient.user_id}`.
pub(crate) fn shown(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(field) => format!("{{{}", last_name(field)),
        None => segment.to_owned(),
    });
    segments.chain([String::new()]).collect::<Vec<_>>().join("/")
}

/// Returns `user_id` for `patient.user_id`.
pub(crate) fn last_name(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}
