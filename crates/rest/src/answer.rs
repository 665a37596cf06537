//! Converts a method's response to an HTTP response.

use std::fmt::Write as _;

use crate::json::write;
use crate::routes::Matched;
use crate::wire::{Damaged, FieldPath};

/// An HTTP response, without the headers that every response has.
pub struct Answer {
    pub status: u16,
    /// URL of the created resource.
    pub location: Option<String>,
    pub etag: Option<String>,
    /// Query string of the next page of a list.
    pub next_page: Option<String>,
    /// JSON; `None` if the response is empty.
    pub body: Option<Vec<u8>>,
}

/// Bytes reserved for field names, which protobuf does not have. Avoids most reallocations.
const ROOM: usize = 512;

impl Matched<'_> {
    /// Converts the encoded response message of the method.
    ///
    /// # Errors
    /// When the bytes are not that message.
    pub fn answer(&self, query: Option<&str>, response: &[u8]) -> Result<Answer, Damaged> {
        let output = &self.binding.output;
        let location = match &output.created {
            None => None,
            Some(parts) => {
                let mut location = String::new();
                for (text, field) in parts {
                    let value = field.as_ref().map_or(Ok(""), |field| field.text(response))?;
                    let _ = write!(location, "{text}{value}");
                }
                Some(location)
            }
        };
        let message = match &output.part {
            None => response,
            Some(part) => part.read(response)?.unwrap_or_default(),
        };
        let text = |field: &Option<FieldPath>| match field {
            None => Ok(None),
            Some(field) => {
                field.text(message).map(|text| (!text.is_empty()).then(|| text.to_owned()))
            }
        };
        // After a DELETE there is nothing to read with the etag.
        let etag = if output.empty { None } else { text(&output.etag)? };
        let next_page = text(&output.next_page)?.map(|token| next_page(query, &token));
        let mut body = None;
        if !output.empty {
            let mut json = Vec::with_capacity(message.len() * 3 / 2 + ROOM);
            write::message(self.schema, output.message, message, &mut json)?;
            body = Some(json);
        }
        let status = match (&location, &body) {
            (Some(_), _) => 201,
            (None, Some(_)) => 200,
            (None, None) => 204,
        };
        Ok(Answer { status, location, etag, next_page, body })
    }
}

/// Returns the query with this page token.
fn next_page(query: Option<&str>, token: &str) -> String {
    let same = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "page_token");
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(same).append_pair("page_token", token).finish()
}
