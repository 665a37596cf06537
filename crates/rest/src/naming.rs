//! What a client calls a field of a method's request: as it stands in the body, the query, the path or
//! a header, which is where the client can change it.

use clinic_proto::validation::Violation;

use crate::binding::{Binding, Source};

/// Which fields of a request came in a header.
#[derive(Clone, Copy, Default)]
pub struct Given {
    /// By `If-Match`.
    pub etag: bool,
    /// By `Idempotency-Key`.
    pub request_id: bool,
}

/// Where a client gives a field of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// With its name there; `body` is all of it.
    Body(&'a str),
    Path,
    /// In the query, or in a header that stands for it.
    Elsewhere,
}

impl Binding {
    /// Names a violation's field as the client sent it. For a part of the path, the message shows
    /// the path.
    pub fn as_given(&self, violation: Violation, headers: Given) -> Violation {
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

    /// A violation of what stands in the path for this field.
    pub(crate) fn in_path(&self, field: &str, message: &str) -> Violation {
        let path = shown(&self.path);
        Violation::new(last_name(field), format!("{message} (in the path {path})"))
    }
}

/// `/api/patient-profile/{patient.user_id}` as `/api/patient-profile/{user_id}/`.
pub(crate) fn shown(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(field) => format!("{{{}", last_name(field)),
        None => segment.to_owned(),
    });
    segments.chain([String::new()]).collect::<Vec<_>>().join("/")
}

/// `user_id` for `patient.user_id`.
pub(crate) fn last_name(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

/// `roles` for `roles[1]`.
pub(crate) fn list_of(field: &str) -> &str {
    field.split('[').next().unwrap_or(field)
}

/// Whether a field is the outer one, or a part of it.
pub(crate) fn is_within(field: &str, outer: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
