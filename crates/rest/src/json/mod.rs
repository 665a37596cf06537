//! JSON of the proto3 mapping, with the names of fields as they stand in the contract.

pub(crate) mod read;
mod visit;
pub(crate) mod write;

#[cfg(test)]
mod tests;
