//! Converts a method's response to an HTTP response.

use crate::json::write;
use crate::routes::Matched;
use crate::wire::{FieldPath, MalformedResponse};

/// An HTTP response, without the headers that every response has.
pub struct Response {
    pub status: u16,
    /// URL of the created resource.
    pub location: Option<String>,
    pub etag: Option<String>,
    /// Query string of the next page of a list.
    pub next_page: Option<String>,
    /// JSON; `None` if the response is empty.
    pub body: Option<Vec<u8>>,
}

impl Matched<'_> {
    /// Converts the encoded response message of the method.
    ///
    /// # Errors
    /// When the bytes are not that message.
    pub fn response(
        &self,
        query: Option<&str>,
        response: &[u8],
    ) -> Result<Response, MalformedResponse> {
        let output = &self.binding.output;
        let location = |parts: &Vec<(String, Option<FieldPath>)>| {
            let mut location = String::new();
            for (text, field) in parts {
                location.push_str(text);
                if let Some(field) = field {
                    location.push_str(field.text(response)?);
                }
            }
            Ok(location)
        };
        let location = output.created.as_ref().map(location).transpose()?;
        let message = match &output.part {
            None => response,
            Some(part) => part.read(response)?.unwrap_or_default(),
        };
        let text = |field: &Option<FieldPath>| {
            let text = field.as_ref().map_or(Ok(""), |field| field.text(message))?;
            Ok((!text.is_empty()).then(|| text.to_owned()))
        };
        // After a DELETE there is nothing to read with the etag.
        let etag = if output.empty { None } else { text(&output.etag)? };
        let next_page = text(&output.next_page)?.map(|token| next_page(query, &token));
        let mut body = None;
        if !output.empty {
            // The 512 are for field names, which protobuf does not have. Avoids most reallocations.
            let mut json = Vec::with_capacity(message.len() * 3 / 2 + 512);
            write::message(self.schema, output.message, message, &mut json)?;
            body = Some(json);
        }
        let status = match (&location, &body) {
            (Some(_), _) => 201,
            (None, Some(_)) => 200,
            (None, None) => 204,
        };
        Ok(Response { status, location, etag, next_page, body })
    }
}

/// Returns the query with this page token.
fn next_page(query: Option<&str>, token: &str) -> String {
    let same = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "page_token");
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(same).append_pair("page_token", token).finish()
}
