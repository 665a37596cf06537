//! The result of comparing two builds: ratios of CPU time per call, and whether they are within the
//! bounds.

use std::fmt::Write as _;

use serde::Serialize;

use crate::table::table;

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
pub(crate) struct Compared {
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
pub(crate) struct Turns {
    pub(crate) here: Turn,
    pub(crate) baseline: Turn,
}

#[derive(Serialize)]
pub(crate) struct Turn {
    /// CPU time per call of the suite and its database.
    pub(crate) cost: f64,
    /// CPU time per call by process, including the benchmark's own.
    pub(crate) cpu: Vec<(String, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Within,
    Worse,
}

impl Comparison {
    /// Groups the rows; the rows of a group need not be adjacent.
    pub(crate) fn new(rows: Vec<Compared>) -> Self {
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
    pub(crate) fn new(group: &'static str, case: String, turns: Vec<Turns>) -> Self {
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
