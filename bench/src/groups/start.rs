//! Start time, and memory of an idle suite.

use anyhow::Result;
use clinic::Databases;

use crate::load::millis;
use crate::measure::total_memory;
use crate::report::Report;
use crate::setting::Setting;
use crate::suite::start_all_in_one;

const WARM_STARTS: usize = 5;

pub(crate) fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let databases = Databases {
        data_dir: setting.folder("start")?,
        database_url: None,
        database_prefix: "start_".to_owned(),
    };
    let first = start_all_in_one(setting, &databases)?;
    report.figure("one process on SQLite: first start, to ready", millis(first.took), "ms");
    first.process.stop()?;
    let mut warm = Vec::new();
    for _ in 0..WARM_STARTS {
        let again = start_all_in_one(setting, &databases)?;
        warm.push(millis(again.took));
        if warm.len() == WARM_STARTS {
            let idle = total_memory(&[again.watched()]);
            report.figure("one process on SQLite: idle", idle, "MiB");
        }
        again.process.stop()?;
    }
    warm.sort_by(f64::total_cmp);
    let median = warm.get(WARM_STARTS / 2).copied().unwrap_or_default();
    report.figure("one process on SQLite: next start, to ready", median, "ms");
    Ok(())
}
