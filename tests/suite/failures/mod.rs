//! What happens when something that the suite stands on is not there.

mod cluster;
mod postgres_away;
mod postgres_tls;
