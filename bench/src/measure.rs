//! Runs cases in turns, so that disturbances affect all of them, and reports the median of each.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;

use crate::load::Outcome;
use crate::process::{Threads, Watched, memory_of_tree, stat};
use crate::report::{Report, Row};

/// A case of a benchmark.
pub(crate) struct Case<'a> {
    pub(crate) name: String,
    pub(crate) watched: Vec<Watched>,
    pub(crate) run: Box<dyn Fn(Duration) -> BoxFuture<'a, Result<Outcome>> + 'a>,
}

impl<'a> Case<'a> {
    pub(crate) fn new<F>(
        name: impl Into<String>,
        watched: Vec<Watched>,
        run: impl Fn(Duration) -> F + 'a,
    ) -> Self
    where
        F: Future<Output = Result<Outcome>> + Send + 'a,
    {
        Self { name: name.into(), watched, run: Box::new(move |time| Box::pin(run(time))) }
    }
}

/// Name of the load generators in the process columns of a row.
pub(crate) const LOAD: &str = "load";

/// Runs the cases in turns and adds the median of each to the report.
pub(crate) async fn contest(report: &mut Report, group: &str, cases: Vec<Case<'_>>) -> Result<()> {
    let mut rows: Vec<Vec<Row>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=report.effort.rounds {
        for (case, rows) in cases.iter().zip(&mut rows) {
            let row = run(group, case, report.effort.time).await;
            let row = row.with_context(|| case.name.clone())?;
            report.progress(&row, round);
            rows.push(row);
        }
    }
    for mut rows in rows {
        rows.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        // The lower median of an even number of rows.
        if let Some(median) = rows.get(rows.len().saturating_sub(1) / 2) {
            report.rows.push(median.clone());
        }
    }
    Ok(())
}

/// Runs a case once.
pub(crate) async fn run(group: &str, case: &Case<'_>, time: Duration) -> Result<Row> {
    let used = || -> Vec<Threads> {
        case.watched.iter().map(|watched| Threads::of_tree(watched.pid)).collect()
    };
    // The generators are this process and its children.
    let generators = || stat(std::process::id()).map(|stat| stat.cpu).unwrap_or_default();
    let (before, load_before) = (used(), generators());
    let outcome = (case.run)(time).await?;
    let (after, load_after) = (used(), generators());
    let micros = |spent: Duration| {
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let sent = outcome.sent.max(1) as f64;
        spent.as_secs_f64() * 1e6 / sent
    };
    let spent = before.iter().zip(&after).map(|(before, after)| micros(after.since(before)));
    let names = case.watched.iter().map(|watched| watched.name.clone());
    let mut cpu: Vec<(String, f64)> = names.zip(spent).collect();
    cpu.push((LOAD.to_owned(), micros(load_after.saturating_sub(load_before))));
    Ok(Row {
        group: group.to_owned(),
        case: case.name.clone(),
        per_second: outcome.per_second,
        latency: outcome.latency,
        cpu,
        memory: memory(&case.watched),
    })
}

/// Returns the resident memory of each process in MiB.
pub(crate) fn memory(watched: &[Watched]) -> Vec<(String, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    watched.iter().map(|watched| (watched.name.clone(), mib(memory_of_tree(watched.pid)))).collect()
}

/// Returns the resident memory of all processes in MiB.
pub(crate) fn total_memory(watched: &[Watched]) -> f64 {
    memory(watched).iter().map(|(_, mib)| mib).sum()
}
