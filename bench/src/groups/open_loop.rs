//! Latency as users see it: at a fixed rate, half of the suite's maximum.

use anyhow::Result;

use super::{N, Rpc, gateway, get_patient, is_patient};
use crate::call::{Protocol, Target};
use crate::load::oha;
use crate::measure::memory;
use crate::report::{Report, Row};
use crate::setting::{Setting, find};
use crate::suite::{Data, Suite};
use crate::tokens;

pub(crate) const GROUP: &str = "open loop";

pub(crate) async fn run(setting: &Setting, data: &Data, report: &mut Report) -> Result<()> {
    let protocol = Protocol::WebHttp2;
    let most = report.rate(gateway::GROUP, &gateway::name(Rpc::GetPatient, protocol));
    let (Some(oha), Some(most)) = (find("oha"), most) else {
        report.missing("open loop, which needs oha and the suite's own rate");
        return Ok(());
    };
    let suite = Suite::start(setting, data)?;
    let target = Target::gateway(suite.gateway.address, protocol, &tokens::access(&data.keys)?);
    let call = get_patient(&target, N);
    let bytes = call.probe(is_patient(N)).await?;
    let outcome = tokio::task::block_in_place(|| {
        oha::run(&oha, &call, bytes, most / 2.0, setting.effort.time * 4)
    })?;
    report.rows.push(Row {
        group: GROUP.to_owned(),
        case: format!("GetPatient at half of the rate, {}", protocol.name()),
        per_second: outcome.per_second,
        latency: outcome.latency,
        cpu: Vec::new(),
        memory: memory(&suite.watched()),
    });
    suite.stop()
}
