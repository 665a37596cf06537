//! What the contract's comments say.

use prost_reflect::FileDescriptor;

/// What gRPC calls an error, and what HTTP calls it here.
const CODES: [(&str, &str); 4] = [
    ("ALREADY_EXISTS", "409"),
    ("FAILED_PRECONDITION", "400"),
    ("NOT_FOUND", "404"),
    ("UNAUTHENTICATED", "401"),
];

/// The comment before something in a file, as one line for each of its paragraphs.
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

/// The first clause of a comment, without what ends it.
pub(crate) fn summary(comment: &str) -> &str {
    let first = comment.split("\n\n").next().unwrap_or_default();
    let clause = first.split([';', '.']).next().unwrap_or_default();
    clause.split(": ").next().unwrap_or_default()
}
