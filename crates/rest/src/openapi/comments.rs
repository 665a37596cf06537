//! Reads the comments of the contract.

use prost_reflect::FileDescriptor;

/// gRPC codes that comments mention, and the HTTP statuses that replace them.
const CODES: [(&str, &str); 4] = [
    ("ALREADY_EXISTS", "409"),
    ("FAILED_PRECONDITION", "400"),
    ("NOT_FOUND", "404"),
    ("UNAUTHENTICATED", "401"),
];

/// Returns the leading comment of an element, with one line per paragraph.
pub(crate) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let location = info.and_then(|info| info.location.iter().find(|at| at.path == path));
    let text = location.map_or("", |location| location.leading_comments());
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = paragraphs.collect::<Vec<_>>().join("\n\n");
    CODES.iter().fold(text, |text, (grpc, http)| text.replace(grpc, http))
}

/// Returns the first clause of a comment, without the punctuation that ends it.
pub(crate) fn summary(comment: &str) -> &str {
    let first = comment.split("\n\n").next().unwrap_or_default();
    let clause = first.split([';', '.']).next().unwrap_or_default();
    clause.split(": ").next().unwrap_or_default()
}
