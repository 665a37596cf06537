//! Compares two builds in one run: this checkout's and a baseline's. Measures CPU time per call,
//! which a noisy machine disturbs less than rates and latencies.

use anyhow::{Context as _, Result, ensure};

use crate::comparison::{Compared, Comparison, Turn, Turns};
use crate::groups::{Stage, accounts, edge, gateway, service};
use crate::measure::{self, Case, LOAD};
use crate::report::{Effort, say};
use crate::setting::Setting;
use crate::suite::{Data, Store, UPSTREAM};
use crate::{Group, Options, fill};

/// Runs the groups in which the suite's own processes do the work.
pub(crate) async fn run(
    options: &Options,
    here: &Setting,
    baseline: &Setting,
) -> Result<Comparison> {
    let (wants, effort) = (|group| options.wants(group), here.effort);
    here.postgres.make_steady().await?;
    let mut rows = Vec::new();
    if wants(Group::Edge) {
        say("The gateway alone");
        let (ours, theirs) = (edge::Stage::start(here).await?, edge::Stage::start(baseline).await?);
        rows.extend(compare(effort, ours, theirs).await?);
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
            let ours = gateway::Stage::start(here, ours).await?;
            let theirs = gateway::Stage::start(baseline, theirs).await?;
            rows.extend(compare(effort, ours, theirs).await?);
        }
        if on_postgres && wants(Group::Accounts) {
            say("Signing in");
            let ours = accounts::Stage::start(here, ours).await?;
            let theirs = accounts::Stage::start(baseline, theirs).await?;
            rows.extend(compare(effort, ours, theirs).await?);
        }
        if wants(Group::Service) {
            say(&format!("The services on {}", store.name()));
            let ours = service::Stage::start(here, ours).await?;
            let theirs = service::Stage::start(baseline, theirs).await?;
            rows.extend(compare(effort, ours, theirs).await?);
        }
    }
    ensure!(!rows.is_empty(), "none of the selected groups can be compared");
    Ok(Comparison::new(rows))
}

/// Runs the cases of one group. Each round runs all cases, which spreads the turns of a case over
/// the whole time: a bad minute of the machine then disturbs all cases alike.
async fn compare<S: Stage>(effort: Effort, here: S, baseline: S) -> Result<Vec<Compared>> {
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
    Ok(cost(row.with_context(|| format!("{}, {build}", case.name))?.cpu))
}

/// Returns a turn whose cost leaves out the benchmark's own processes.
fn cost(cpu: Vec<(String, f64)>) -> Turn {
    let ours = cpu.iter().filter(|(process, _)| process != LOAD && process != UPSTREAM);
    Turn { cost: ours.map(|(_, micros)| micros).sum(), cpu }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builds_take_the_first_turn_of_a_round_alternately() {
        let turns: String =
            (1..=4).map(|round| if here_first(round) { "AB" } else { "BA" }).collect();
        assert_eq!(turns, "ABBAABBA");
    }

    #[test]
    fn the_benchmarks_own_cpu_time_does_not_count() {
        let cpu = [("gateway", 30.0), ("PostgreSQL", 20.0), (UPSTREAM, 7.0), (LOAD, 5.0)];
        let turn = cost(cpu.map(|(name, micros)| (name.to_owned(), micros)).to_vec());
        assert_eq!(format!("{:.1}", turn.cost), "50.0");
    }
}
