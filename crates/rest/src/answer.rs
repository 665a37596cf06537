//! From a method's response to an answer of HTTP.

use std::fmt::Write as _;

use crate::json::write;
use crate::routes::Matched;

/// An answer, apart from headers that every answer has.
pub struct Answer {
    pub status: u16,
    /// Where that which was made can be read.
    pub location: Option<String>,
    pub etag: Option<String>,
    /// The query of the next page of a list.
    pub next_page: Option<String>,
    /// JSON; none where the answer is empty.
    pub body: Option<Vec<u8>>,
}

/// The response is not what the contract says.
#[derive(Debug)]
pub struct Damaged;

/// JSON is longer than protobuf by the names of the fields: reserving for them saves most copies.
const ROOM: usize = 512;

impl Matched<'_> {
    /// What to answer when the method's response is this message.
    ///
    /// # Errors
    /// When it is not such a message.
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
        let text = |field: &Option<crate::wire::FieldPath>| match field {
            None => Ok(None),
            Some(field) => {
                field.text(message).map(|text| (!text.is_empty()).then(|| text.to_owned()))
            }
        };
        // An etag is of what can be read afterwards.
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

/// The same query with another page.
fn next_page(query: Option<&str>, token: &str) -> String {
    let same = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "page_token");
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(same).append_pair("page_token", token).finish()
}
