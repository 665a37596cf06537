//! Two builds in turns within one run: this checkout's, and that of a baseline. Compares the CPU time
//! that a call costs, which a noisy machine disturbs less than it does rates and latencies.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::groups::{Stage, accounts, edge, gateway, service};
use crate::measure::{self, Case, Effort, LOAD};
use crate::report::{Row, say, table};
use crate::setting::Setting;
use crate::suite::{Data, Store, UPSTREAM};
use crate::{Group, Options, fill};

/// The most that the ratio of a row may be.
const ROW_BOUND: f64 = 1.08;
/// The most that the mean of a group's ratios may be.
const GROUP_BOUND: f64 = 1.03;

#[derive(Serialize)]
pub(crate) struct Comparison {
    groups: Vec<Mean>,
    rows: Vec<Compared>,
}

/// The geometric mean of the ratios of a group's rows.
#[derive(Serialize)]
struct Mean {
    group: &'static str,
    ratio: f64,
    verdict: Verdict,
}

/// A case on both builds. Times are microseconds of CPU time a call.
#[derive(Serialize)]
struct Compared {
    group: &'static str,
    case: String,
    here: f64,
    baseline: f64,
    ratio: f64,
    verdict: Verdict,
    rounds: Vec<Round>,
}

/// What the turns of one round gave.
#[derive(Clone, Copy, Serialize)]
struct Round {
    here: f64,
    baseline: f64,
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
    here.postgres.stop_housekeeping().await?;
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
    ensure!(!rows.is_empty(), "none of these groups can be compared");
    Ok(Comparison::new(rows))
}

/// Runs the cases of one group. Each round has all of them, so that a case does not have all of its
/// turns in a bad minute of the machine.
async fn compare<S: Stage>(effort: Effort, (here, baseline): (S, S)) -> Result<Vec<Compared>> {
    let pairs: Vec<_> = here.cases().into_iter().zip(baseline.cases()).collect();
    let mut rounds: Vec<Vec<Round>> = pairs.iter().map(|_| Vec::new()).collect();
    for number in 1..=effort.rounds {
        for ((here, baseline), rounds) in pairs.iter().zip(&mut rounds) {
            let round = if here_first(number) {
                let here = cost_of(S::GROUP, here, effort, "here").await?;
                Round { here, baseline: cost_of(S::GROUP, baseline, effort, "baseline").await? }
            } else {
                let baseline = cost_of(S::GROUP, baseline, effort, "baseline").await?;
                Round { here: cost_of(S::GROUP, here, effort, "here").await?, baseline }
            };
            say(&format!(
                "  {} ({number}/{}): {:.1} µs a call, baseline {:.1} µs",
                here.name, effort.rounds, round.here, round.baseline
            ));
            rounds.push(round);
        }
    }
    let names = pairs.iter().map(|(case, _)| case.name.clone());
    let rows = names.zip(rounds).map(|(case, rounds)| Compared::new(S::GROUP, case, rounds));
    let rows = rows.collect();
    drop(pairs);
    here.stop().await?;
    baseline.stop().await?;
    Ok(rows)
}

/// Whether this build has the first turn of a round: every other time, so that a machine that gets
/// slower or faster does so for both builds alike.
fn here_first(round: u32) -> bool {
    round % 2 == 1
}

/// Runs a case once.
async fn cost_of(group: &str, case: &Case<'_>, effort: Effort, build: &str) -> Result<f64> {
    let row = measure::run(group, case, effort.time).await;
    Ok(cost(&row.with_context(|| format!("{}, {build}", case.name))?))
}

/// CPU time a call of the suite and its database, without that of the benchmarks themselves.
fn cost(row: &Row) -> f64 {
    let ours = row.cpu.iter().filter(|(process, _)| process != LOAD && process != UPSTREAM);
    ours.map(|(_, micros)| micros).sum()
}

impl Comparison {
    /// Of the rows; those of a group may be apart.
    fn new(rows: Vec<Compared>) -> Self {
        let mut names: Vec<&'static str> = Vec::new();
        for row in &rows {
            if !names.contains(&row.group) {
                names.push(row.group);
            }
        }
        let mean = |group| {
            let ratios = rows.iter().filter(|row| row.group == group).map(|row| row.ratio);
            let ratio = geometric_mean(ratios);
            Mean { group, ratio, verdict: Verdict::of(ratio, GROUP_BOUND) }
        };
        Self { groups: names.into_iter().map(mean).collect(), rows }
    }

    /// Adds the tables in Markdown.
    pub(crate) fn write(&self, text: &mut String) {
        let rows: Vec<_> = self.rows.iter().map(Compared::cells).collect();
        let heads = ["", "case", "CPU µs a call", "baseline", "ratio", ""];
        table(text, &heads, &rows);
        let groups: Vec<_> = self.groups.iter().map(Mean::cells).collect();
        table(text, &["group", "geometric mean of the ratios", ""], &groups);
        let worse = self.rows.iter().filter(|row| row.verdict == Verdict::Worse).count()
            + self.groups.iter().filter(|group| group.verdict == Verdict::Worse).count();
        let verdict = match worse {
            0 => "Nothing is worse than the bounds allow".to_owned(),
            _ => format!("**Worse than the bounds allow: {worse}**"),
        };
        let _ = writeln!(
            text,
            "\n{verdict}; a group's mean may be {GROUP_BOUND}, a single row {ROW_BOUND}."
        );
    }
}

impl Mean {
    fn cells(&self) -> Vec<String> {
        vec![self.group.to_owned(), format!("{:.3}", self.ratio), self.verdict.cell()]
    }
}

impl Compared {
    fn new(group: &'static str, case: String, rounds: Vec<Round>) -> Self {
        let here = median(rounds.iter().map(|round| round.here));
        let baseline = median(rounds.iter().map(|round| round.baseline));
        let ratio = here / baseline;
        let verdict = Verdict::of(ratio, ROW_BOUND);
        Self { group, case, here, baseline, ratio, verdict, rounds }
    }

    fn cells(&self) -> Vec<String> {
        let Self { group, case, here, baseline, ratio, verdict, rounds: _ } = self;
        vec![
            (*group).to_owned(),
            case.clone(),
            format!("{here:.1}"),
            format!("{baseline:.1}"),
            format!("{ratio:.3}"),
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

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(values.len().saturating_sub(1) / 2), at(values.len() / 2))
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value.ln()));
    f64::exp(sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(group: &'static str, case: &str, rounds: &[(f64, f64)]) -> Compared {
        let rounds = rounds.iter().map(|&(here, baseline)| Round { here, baseline });
        Compared::new(group, case.to_owned(), rounds.collect())
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
        let row = Row {
            group: "edge".to_owned(),
            case: "GetPatient".to_owned(),
            per_second: 1.0,
            p50: None,
            p99: None,
            p999: None,
            cpu: cpu.map(|(name, micros)| (name.to_owned(), micros)).to_vec(),
            memory: Vec::new(),
        };
        assert_eq!(format!("{:.1}", cost(&row)), "50.0");
    }

    #[test]
    fn a_rows_ratio_is_that_of_the_medians() {
        let row = compared("edge", "odd", &[(30.0, 20.0), (99.0, 25.0), (20.0, 10.0)]);
        assert_eq!(format!("{} {} {}", row.here, row.baseline, row.ratio), "30 20 1.5");
        let row = compared("edge", "even", &[(10.0, 20.0), (20.0, 20.0)]);
        assert_eq!(format!("{} {} {}", row.here, row.baseline, row.ratio), "15 20 0.75");
    }

    #[test]
    fn a_groups_mean_is_the_geometric_one_of_all_its_rows() {
        let rows = vec![
            compared("service", "twice", &[(20.0, 10.0)]),
            compared("edge", "as before", &[(10.0, 10.0)]),
            compared("service", "half", &[(10.0, 20.0)]),
        ];
        let means: Vec<_> = Comparison::new(rows)
            .groups
            .iter()
            .map(|mean| format!("{} {:.3}", mean.group, mean.ratio))
            .collect();
        assert_eq!(means, ["service 1.000", "edge 1.000"]);
    }

    #[test]
    fn a_row_may_be_8_percent_worse_and_a_group_3() {
        let comparison = Comparison::new(vec![
            compared("edge", "at most", &[(107.9, 100.0)]),
            compared("edge", "better", &[(96.0, 100.0)]),
            compared("suite", "more", &[(108.1, 100.0)]),
        ]);
        let rows: Vec<_> = comparison.rows.iter().map(|row| row.verdict).collect();
        assert_eq!(rows, [Verdict::Within, Verdict::Within, Verdict::Worse]);
        let groups: Vec<_> = comparison.groups.iter().map(|group| group.verdict).collect();
        assert_eq!(groups, [Verdict::Within, Verdict::Worse]);
        let mut text = String::new();
        comparison.write(&mut text);
        assert!(
            text.contains("| suite | more    | 108.1         | 100.0    | 1.081 | **worse** |")
        );
        assert!(text.contains("| suite | 1.081                        | **worse** |"));
        assert!(text.contains("**Worse than the bounds allow: 2**"), "{text}");
    }

    #[test]
    fn a_ratio_that_was_not_measured_is_not_within_a_bound() {
        assert_eq!(Verdict::of(f64::NAN, ROW_BOUND), Verdict::Worse);
    }
}
