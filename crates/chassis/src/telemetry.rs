//! Logs: to stderr, for people on a terminal and as JSON otherwise, so that stdout stays parseable.

use std::io::{IsTerminal as _, stderr};

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;

/// What PostgreSQL remarks on statements that are as they should be, such as making a table unless
/// it is there. Before what the operator wants, which may say otherwise.
const QUIET: &str = "sqlx::postgres::notice=warn";

/// Starts logging. `filter` is of the form `info` or `info,clinic::calls=debug`.
pub fn start(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .with_context(|| format!("--log {filter} is not of the form `info,clinic::calls=debug`"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // Someone else may have started logging, in a test: then that is what there is.
    let _ = if stderr().is_terminal() {
        logs.with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    };
    Ok(())
}
