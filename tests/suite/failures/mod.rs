//! Failures of PostgreSQL.

mod cluster;
mod postgres_outage;
mod postgres_tls;
