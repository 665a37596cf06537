//! The results of a run, as Markdown tables and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Serialize, Serializer};

use crate::comparison::Comparison;
use crate::load::Latency;
use crate::machine::Machine;
use crate::table::table;

/// Result of a case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) case: String,
    pub(crate) per_second: f64,
    #[serde(flatten)]
    pub(crate) latency: Latency,
    /// Microseconds of CPU time per request, by process.
    pub(crate) cpu: Vec<(String, f64)>,
    /// Resident memory afterwards in MiB, by process.
    pub(crate) memory: Vec<(String, f64)>,
}

/// Duration and number of the runs of a case.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Effort {
    #[serde(rename = "seconds", serialize_with = "in_seconds")]
    pub(crate) time: Duration,
    pub(crate) rounds: u32,
}

fn in_seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(time.as_secs())
}

/// A result that is not about requests.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// A target to reach.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// None if a part of it was not measured.
    pub(crate) value: Option<f64>,
    pub(crate) bound: Bound,
    pub(crate) reached: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

/// All results of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) effort: Effort,
    /// Cases that were not measured, because a program is not installed.
    missing: Vec<String>,
    pub(crate) rows: Vec<Row>,
    figures: Vec<Figure>,
    pub(crate) targets: Vec<Target>,
    /// Comparison with another build; the other results are then empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comparison: Option<Comparison>,
}

impl Report {
    pub(crate) fn new(machine: Machine, effort: Effort) -> Self {
        let (missing, rows, figures, targets) = (vec![], vec![], vec![], vec![]);
        Self { machine, effort, missing, rows, figures, targets, comparison: None }
    }

    pub(crate) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        let figure = Figure { name: name.into(), value, unit };
        say(&format!("  {}: {:.1} {}", figure.name, figure.value, figure.unit));
        self.figures.push(figure);
    }

    pub(crate) fn missing(&mut self, what: impl Into<String>) {
        let what = what.into();
        say(&format!("not measured: {what}"));
        self.missing.push(what);
    }

    pub(crate) fn progress(&self, row: &Row, round: u32) {
        let Row { case, per_second, latency: Latency { p50, p99, .. }, .. } = row;
        let (rate, p50, p99) = (thousands(*per_second), latency(*p50), latency(*p99));
        let rounds = self.effort.rounds;
        say(&format!("  {case} ({round}/{rounds}): {rate}/s, p50 {p50} ms, p99 {p99} ms"));
    }

    pub(crate) fn row(&self, group: &str, case: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.group == group && row.case == case)
    }

    /// Returns the requests per second of a case.
    pub(crate) fn rate(&self, group: &str, case: &str) -> Option<f64> {
        Some(self.row(group, case)?.per_second)
    }

    pub(crate) fn value(&self, figure: &str) -> Option<f64> {
        self.figures.iter().find(|known| known.name == figure).map(|known| known.value)
    }

    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns the tables in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = self.machine.to_string();
        let Effort { time, rounds } = self.effort;
        let _ = writeln!(text, "Each case for {} s, {rounds} times.", time.as_secs());
        for missing in &self.missing {
            let _ = writeln!(text, "\nNot measured: {missing}.");
        }
        let targets: Vec<_> = self.targets.iter().map(target_cells).collect();
        table(&mut text, &["target", "bound", "measured", ""], &targets);
        let rows: Vec<_> = self.rows.iter().map(row_cells).collect();
        let heads = ["", "case", "requests/s", "p50 ms", "p99 ms", "CPU µs a request", "MiB"];
        table(&mut text, &heads, &rows);
        let cells = |figure: &Figure| {
            vec![figure.name.clone(), format!("{:.1} {}", figure.value, figure.unit)]
        };
        let figures: Vec<_> = self.figures.iter().map(cells).collect();
        table(&mut text, &["figure", "value"], &figures);
        if let Some(comparison) = &self.comparison {
            comparison.write(&mut text);
        }
        text
    }
}

fn target_cells(target: &Target) -> Vec<String> {
    let bound = match target.bound {
        Bound::AtLeast(bound) => format!("at least {bound}"),
        Bound::AtMost(bound) => format!("at most {bound}"),
    };
    let value = target.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let verdict = match target.reached {
        None => "not measured",
        Some(true) => "reached",
        Some(false) => "**not reached**",
    };
    vec![target.name.clone(), bound, value, verdict.to_owned()]
}

fn row_cells(row: &Row) -> Vec<String> {
    let list = |values: &[(String, f64)]| {
        let all = values.iter().map(|(name, value)| format!("{name} {value:.0}"));
        all.collect::<Vec<_>>().join(", ")
    };
    let Latency { p50, p99, p999 } = row.latency;
    let p99 = match p999 {
        None => latency(p99),
        Some(p999) => format!("{} (p99.9 {p999:.2})", latency(p99)),
    };
    let (cpu, memory) = (list(&row.cpu), list(&row.memory));
    let rate = thousands(row.per_second);
    vec![row.group.clone(), row.case.clone(), rate, latency(p50), p99, cpu, memory]
}

fn latency(millis: Option<f64>) -> String {
    millis.map_or_else(|| "–".to_owned(), |millis| format!("{millis:.2}"))
}

/// Formats 12345.6 as 12,346.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Replaces the text between the marks in docs/performance.md by the tables.
pub(crate) fn update_docs(tables: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
    let text = fs::read_to_string(&path).context("cannot read docs/performance.md")?;
    let (before, rest) = text.split_once(BEGIN).context("docs/performance.md has no begin mark")?;
    let (_, after) = rest.split_once(END).context("docs/performance.md has no end mark")?;
    fs::write(&path, format!("{before}{BEGIN}\n{tables}\n{END}{after}"))?;
    Ok(())
}

const BEGIN: &str = "<!-- written by `cargo xtask bench --update-docs` -->";
const END: &str = "<!-- end -->";

/// Prints a line of progress.
#[expect(clippy::print_stderr, reason = "progress, beside the table on stdout")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (value, text) in [(7.2, "7"), (999.6, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(thousands(value), text);
        }
    }
}
