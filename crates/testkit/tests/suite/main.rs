//! What the suite does, seen from outside: through the generated clients, at the gateway or
//! straight at a service, on SQLite and on PostgreSQL.

mod access_matrix;
mod walk;
