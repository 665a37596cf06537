//! The proto3 JSON mapping, with field names as written in the `.proto` files.

pub(crate) mod read;
pub(crate) mod values;
pub(crate) mod write;

#[cfg(test)]
mod tests;
