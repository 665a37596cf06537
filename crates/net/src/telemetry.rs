//! Logs to stderr, as text on a terminal and as JSON otherwise. Stdout stays parseable.

use std::io::{IsTerminal as _, stderr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use anyhow::{Context as _, Result, ensure};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::settings::unknown_variables;

/// Hides PostgreSQL's notices about normal statements, such as creating a table if it does not
/// exist. Comes before the operator's filter, which can override it.
const QUIET: &str = "sqlx::postgres::notice=warn";

/// The filter of this process.
static FILTER: OnceLock<Filter> = OnceLock::new();

/// Starts logging. `filter` is of the form `info` or `info,clinic::calls=debug`.
pub fn start(filter: &str) -> Result<()> {
    let filter = Filter(Arc::new(RwLock::new(parse(filter)?)));
    let logs = registry().with(filter.clone());
    let lines = fmt::layer().with_writer(stderr);
    // In a test, logging may have been started elsewhere: then keep it.
    let started = if stderr().is_terminal() {
        logs.with(lines.with_target(false)).try_init()
    } else {
        logs.with(lines.json().flatten_event(true)).try_init()
    };
    if started.is_ok() {
        FILTER.set(filter).ok();
        for name in unknown_variables() {
            tracing::warn!(name, "unknown setting in the environment: check its spelling");
        }
    }
    Ok(())
}

/// Replaces the filter.
pub fn change(filter: &str) -> Result<()> {
    let parsed = parse(filter)?;
    if let Some(Filter(current)) = FILTER.get() {
        *current.write().unwrap_or_else(PoisonError::into_inner) = parsed;
        tracing::callsite::rebuild_interest_cache();
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter> {
    let why = || {
        format!(
            "--log (CLINIC_LOG) {filter} is not of the form `info` or `info,clinic::calls=debug`, with the \
             levels off, error, warn, info, debug and trace"
        )
    };
    for part in filter.split(',') {
        // The library accepts any word as the name of a module, so `warning` would log nothing.
        let is_level = !part.is_empty() && part.trim().parse::<LevelFilter>().is_ok();
        ensure!(is_level || part.contains("::") || part.contains('='), why());
        // A filter on a span and its fields, which [`Filter`] does not support.
        ensure!(!part.contains('['), why());
    }
    EnvFilter::try_new(format!("{QUIET},{filter}")).with_context(why)
}

/// A filter that can be replaced. It is evaluated once per log statement, and again after a change,
/// so calls do not take the lock. (`tracing_subscriber::reload` takes one each time that a span is
/// entered.)
#[derive(Clone)]
struct Filter(Arc<RwLock<EnvFilter>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let filter = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Layer::<S>::register_callsite(&*filter, metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        let filter = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Layer::<S>::enabled(&*filter, metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let filter = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Layer::<S>::max_level_hint(&*filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for filter in ["info", "WARN", "off", "info,clinic::calls=debug", "clinic::calls"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["warning", "verbose", "", "info,", "info,clinic=loud", "[call]=debug"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
    }
}
