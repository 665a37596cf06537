//! The proto3 JSON mapping, with field names as written in the `.proto` files.

pub(crate) mod read;
mod visit;
pub(crate) mod write;

#[cfg(test)]
mod tests;
