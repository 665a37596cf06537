//! Compares two builds in one run: this checkout's and a baseline's. Measures CPU time per call,
//! which a noisy machine disturbs less than rates and latencies.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::groups::{Stage, accounts, edge, gateway, service};
use crate::measure::{self, Case, Effort, LOAD};
use crate::report::{say, table};
use crate::setting::Setting;
use crate::suite::{Data, Store, UPSTREAM};
use crate::{Group, Options, fill};

/// Maximum ratio of a row.
const ROW_BOUND: f64 = 1.08;
/// Maximum mean ratio of a group.
const GROUP_BOUND: f64 = 1.03;

#[derive(Serialize)]
pub(crate) struct Comparison {
    groups: Vec<Mean>,
    rows: Vec<Compared>,
}

/// Geometric mean of the ratios of a group's rows.
#[derive(Serialize)]
struct Mean {
    group: &'static str,
    ratio: f64,
    /// Standard error of the ratio.
    error: f64,
    verdict: Verdict,
}

/// A case on both builds, in microseconds of CPU time per call.
#[derive(Serialize)]
struct Compared {
    group: &'static str,
    case: String,
    here: f64,
    baseline: f64,
    ratio: f64,
    /// Standard error of the ratio.
    error: f64,
    verdict: Verdict,
    turns: Vec<Turns>,
}

/// Two consecutive turns, one of each build.
#[derive(Serialize)]
struct Turns {
    here: Turn,
    baseline: Turn,
}

#[derive(Serialize)]
struct Turn {
    /// CPU time per call of the suite and its database.
    cost: f64,
    /// CPU time per call by process, including the benchmark's own.
    cpu: Vec<(String, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Within,
    Worse,
}

/// Runs the groups in which the suite's own processes do the work.
pub(crate) async fn run(
    options: &Options,
    here: &Setting,
    baseline: &Setting,
) -> Result<Comparison> {
    let wants = |group| options.wants(group);
    here.postgres.make_steady().await?;
    let mut rows = Vec::new();
    if wants(Group::Edge) {
        say("The gateway alone");
        let stages = (edge::Stage::start(here).await?, edge::Stage::start(baseline).await?);
        rows.extend(compare(here.effort, stages).await?);
    }
    for store in Store::BOTH {
        if !options.wants_data(store) {
            continue;
        }
        let on_postgres = store == Store::Postgres;
        let ours = &Data::create(here, store, "bench")?;
        let theirs = &Data::create(baseline, store, "bench")?;
        for data in [ours, theirs] {
            fill::usual(data).await?;
        }
        if on_postgres && wants(Group::Suite) {
            say("The whole suite");
            let stages = (
                gateway::Stage::start(here, ours).await?,
                gateway::Stage::start(baseline, theirs).await?,
            );
            rows.extend(compare(here.effort, stages).await?);
        }
        if on_postgres && wants(Group::Accounts) {
            say("Signing in");
            let stages = (
                accounts::Stage::start(here, ours).await?,
                accounts::Stage::start(baseline, theirs).await?,
            );
            rows.extend(compare(here.effort, stages).await?);
        }
        if wants(Group::Service) {
            say(&format!("The services on {}", store.name()));
            let stages = (
                service::Stage::start(here, ours).await?,
                service::Stage::start(baseline, theirs).await?,
            );
            rows.extend(compare(here.effort, stages).await?);
        }
    }
    ensure!(!rows.is_empty(), "none of the selected groups can be compared");
    Ok(Comparison::new(rows))
}

/// Runs the cases of one group. Each round runs all cases, which spreads the turns of a case over
/// the whole time: a bad minute of the machine then disturbs all cases alike.
async fn compare<S: Stage>(effort: Effort, (here, baseline): (S, S)) -> Result<Vec<Compared>> {
    let pairs: Vec<_> = here.cases().into_iter().zip(baseline.cases()).collect();
    let mut turns: Vec<Vec<Turns>> = pairs.iter().map(|_| Vec::new()).collect();
    let rounds = effort.rounds * S::TURNS;
    for round in 1..=rounds {
        for ((here, baseline), turns) in pairs.iter().zip(&mut turns) {
            let here_turn = turn(S::GROUP, here, effort, "here");
            let baseline_turn = turn(S::GROUP, baseline, effort, "baseline");
            let both = if here_first(round) {
                Turns { here: here_turn.await?, baseline: baseline_turn.await? }
            } else {
                let baseline = baseline_turn.await?;
                Turns { here: here_turn.await?, baseline }
            };
            say(&format!(
                "  {} ({round}/{rounds}): {:.1} µs a call, baseline {:.1} µs",
                here.name, both.here.cost, both.baseline.cost
            ));
            turns.push(both);
        }
    }
    let names = pairs.iter().map(|(case, _)| case.name.clone());
    let rows = names.zip(turns).map(|(case, turns)| Compared::new(S::GROUP, case, turns));
    let rows = rows.collect();
    drop(pairs);
    here.stop().await?;
    baseline.stop().await?;
    Ok(rows)
}

/// Returns whether this build has the first turn of a round. The builds alternate, because the
/// machine may get slower or faster during a round.
fn here_first(round: u32) -> bool {
    round % 2 == 1
}

async fn turn(group: &str, case: &Case<'_>, effort: Effort, build: &str) -> Result<Turn> {
    let row = measure::run(group, case, effort.time).await;
    Ok(Turn::new(row.with_context(|| format!("{}, {build}", case.name))?.cpu))
}

impl Turn {
    fn new(cpu: Vec<(String, f64)>) -> Self {
        let ours = cpu.iter().filter(|(process, _)| process != LOAD && process != UPSTREAM);
        Self { cost: ours.map(|(_, micros)| micros).sum(), cpu }
    }
}

impl Comparison {
    /// Groups the rows; the rows of a group need not be adjacent.
    fn new(rows: Vec<Compared>) -> Self {
        let mut names: Vec<&'static str> = Vec::new();
        for row in &rows {
            if !names.contains(&row.group) {
                names.push(row.group);
            }
        }
        let groups = names.into_iter().map(|group| Mean::of(group, &rows)).collect();
        Self { groups, rows }
    }

    /// Appends the tables in Markdown.
    pub(crate) fn write(&self, text: &mut String) {
        let rows: Vec<_> = self.rows.iter().map(Compared::cells).collect();
        let heads = ["", "case", "CPU µs a call", "baseline", "ratio", "±", ""];
        table(text, &heads, &rows);
        let groups: Vec<_> = self.groups.iter().map(Mean::cells).collect();
        table(text, &["group", "geometric mean of the ratios", "±", ""], &groups);
        let verdicts = self.rows.iter().map(|row| row.verdict);
        let verdicts = verdicts.chain(self.groups.iter().map(|group| group.verdict));
        let verdict = match verdicts.filter(|verdict| *verdict == Verdict::Worse).count() {
            0 => "Nothing is worse than the bounds allow".to_owned(),
            worse => format!("**Worse than the bounds allow: {worse}**"),
        };
        let _ = writeln!(
            text,
            "\n{verdict}; a single row may be {ROW_BOUND}, the mean of a group {GROUP_BOUND}."
        );
    }
}

impl Mean {
    fn of(group: &'static str, rows: &[Compared]) -> Self {
        let rows = || rows.iter().filter(|row| row.group == group);
        let logarithms: Vec<f64> = rows().map(|row| row.ratio.ln()).collect();
        let ratio = mean(&logarithms).exp();
        let squares: f64 = rows().map(|row| (row.error / row.ratio).powi(2)).sum();
        let error = ratio * squares.sqrt() / count(&logarithms);
        Self { group, ratio, error, verdict: Verdict::of(ratio, GROUP_BOUND) }
    }

    fn cells(&self) -> Vec<String> {
        let Self { group, ratio, error, verdict } = self;
        vec![(*group).to_owned(), format!("{ratio:.3}"), format!("{error:.3}"), verdict.cell()]
    }
}

impl Compared {
    fn new(group: &'static str, case: String, turns: Vec<Turns>) -> Self {
        let here = middle(turns.iter().map(|turns| turns.here.cost));
        let baseline = middle(turns.iter().map(|turns| turns.baseline.cost));
        let logarithms = turns.iter().map(|turns| (turns.here.cost / turns.baseline.cost).ln());
        let logarithms: Vec<f64> = logarithms.collect();
        let ratio = middle(logarithms.iter().copied()).exp();
        let error = ratio * standard_error(&logarithms);
        let verdict = Verdict::of(ratio, ROW_BOUND);
        Self { group, case, here, baseline, ratio, error, verdict, turns }
    }

    fn cells(&self) -> Vec<String> {
        let Self { group, case, here, baseline, ratio, error, verdict, turns: _ } = self;
        vec![
            (*group).to_owned(),
            case.clone(),
            format!("{here:.1}"),
            format!("{baseline:.1}"),
            format!("{ratio:.3}"),
            format!("{error:.3}"),
            verdict.cell(),
        ]
    }
}

impl Verdict {
    fn of(ratio: f64, bound: f64) -> Self {
        if ratio <= bound { Self::Within } else { Self::Worse }
    }

    fn cell(self) -> String {
        match self {
            Self::Within => "within",
            Self::Worse => "**worse**",
        }
        .to_owned()
    }
}

/// Returns the mean without the lowest and the highest quarter, to ignore disturbances.
fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let quarter = values.len() / 4;
    mean(values.get(quarter..values.len() - quarter).unwrap_or_default())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values)
}

/// Returns the standard error of the mean.
fn standard_error(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count(values) - 1.0) / count(values)).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "a few")]
fn count(values: &[f64]) -> f64 {
    values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(group: &'static str, case: &str, costs: &[(f64, f64)]) -> Compared {
        let turn = |cost| Turn { cost, cpu: Vec::new() };
        let turns = costs.iter().map(|&(here, baseline)| {
            let (here, baseline) = (turn(here), turn(baseline));
            Turns { here, baseline }
        });
        Compared::new(group, case.to_owned(), turns.collect())
    }

    #[test]
    fn the_builds_take_the_first_turn_of_a_round_alternately() {
        let turns: String =
            (1..=4).map(|round| if here_first(round) { "AB" } else { "BA" }).collect();
        assert_eq!(turns, "ABBAABBA");
    }

    #[test]
    fn the_benchmarks_own_cpu_time_does_not_count() {
        let cpu = [("gateway", 30.0), ("PostgreSQL", 20.0), (UPSTREAM, 7.0), (LOAD, 5.0)];
        let turn = Turn::new(cpu.map(|(name, micros)| (name.to_owned(), micros)).to_vec());
        assert_eq!(format!("{:.1}", turn.cost), "50.0");
    }

    #[test]
    fn a_rows_ratio_is_the_mean_of_its_rounds_ratios() {
        let row = compared("edge", "two rounds", &[(10.0, 20.0), (40.0, 20.0)]);
        let shown = format!("{:.1} {:.1} {:.3}", row.here, row.baseline, row.ratio);
        assert_eq!(shown, "25.0 20.0 1.000");
    }

    #[test]
    fn the_most_extreme_rounds_do_not_count() {
        let rounds = [(10.0, 10.0), (99.0, 10.0), (12.0, 10.0), (1.0, 10.0)];
        let row = compared("edge", "four rounds", &rounds);
        assert_eq!(
            format!("{:.1} {:.4}", row.here, row.ratio),
            format!("11.0 {:.4}", f64::sqrt(1.2))
        );
    }

    #[test]
    fn the_error_of_a_ratio_tells_how_far_the_rounds_are_apart() {
        let row = compared("edge", "steady", &[(10.0, 10.0), (10.0, 10.0)]);
        assert_eq!(format!("{:.3}", row.error), "0.000");
        // The logarithms of 2 and 1/2 have a standard deviation of ln 2 times the root of 2.
        let row = compared("edge", "unsteady", &[(20.0, 10.0), (10.0, 20.0)]);
        assert_eq!(format!("{:.3}", row.error), format!("{:.3}", f64::ln(2.0)));
        let row = compared("edge", "once", &[(20.0, 10.0)]);
        assert!(row.error.is_nan(), "unknown");
    }

    #[test]
    fn a_groups_mean_is_the_geometric_one_of_all_its_rows() {
        let steady = |ratio: f64| [(ratio * 10.0, 10.0), (ratio * 20.0, 20.0)];
        let rows = vec![
            compared("service", "twice", &steady(2.0)),
            compared("edge", "as before", &steady(1.0)),
            compared("service", "half", &steady(0.5)),
        ];
        let shown = |mean: &Mean| format!("{} {:.3} {:.3}", mean.group, mean.ratio, mean.error);
        let means: Vec<_> = Comparison::new(rows).groups.iter().map(shown).collect();
        assert_eq!(means, ["service 1.000 0.000", "edge 1.000 0.000"]);
    }

    #[test]
    fn a_row_may_be_8_percent_worse_and_a_group_3() {
        let steady = |ratio: f64| [(ratio * 100.0, 100.0), (ratio * 100.0, 100.0)];
        let comparison = Comparison::new(vec![
            compared("edge", "at most", &steady(1.079)),
            compared("edge", "better", &steady(0.96)),
            compared("suite", "more", &steady(1.081)),
        ]);
        let rows: Vec<_> = comparison.rows.iter().map(|row| row.verdict).collect();
        assert_eq!(rows, [Verdict::Within, Verdict::Within, Verdict::Worse]);
        let groups: Vec<_> = comparison.groups.iter().map(|group| group.verdict).collect();
        assert_eq!(groups, [Verdict::Within, Verdict::Worse]);
        let mut text = String::new();
        comparison.write(&mut text);
        let row = "| suite | more    | 108.1         | 100.0    | 1.081 | 0.000 | **worse** |";
        assert!(text.contains(row), "{text}");
        let group = "| suite | 1.081                        | 0.000 | **worse** |";
        assert!(text.contains(group), "{text}");
        assert!(text.contains("**Worse than the bounds allow: 2**"), "{text}");
    }

    #[test]
    fn a_ratio_that_was_not_measured_is_not_within_a_bound() {
        assert_eq!(Verdict::of(f64::NAN, ROW_BOUND), Verdict::Worse);
    }
}
