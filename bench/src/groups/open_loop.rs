//! Latency as users see it: at a fixed rate, half of the suite's maximum.

use anyhow::Result;
use clinic_proto::records::v1::Patient;

use super::{GET_PATIENT, gateway, get_patient, is_patient};
use crate::call::{Call, Credential, Protocol};
use crate::fill::PATIENTS;
use crate::load::oha;
use crate::measure::memory;
use crate::report::{Report, Row, millis};
use crate::setting::{Setting, find};
use crate::suite::{Data, Suite};
use crate::tokens;

pub(crate) const GROUP: &str = "open loop";
const N: u64 = PATIENTS / 2;

pub(crate) async fn run(setting: &Setting, data: &Data, report: &mut Report) -> Result<()> {
    let protocol = Protocol::WebHttp2;
    let most = report.rate(gateway::GROUP, &format!("GetPatient, {}", protocol.name()));
    let (Some(oha), Some(most)) = (find("oha"), most) else {
        report.missing("open loop, which needs oha and the suite's own rate");
        return Ok(());
    };
    let suite = Suite::start(setting, data)?;
    let call = Call {
        protocol,
        address: suite.gateway.address,
        method: GET_PATIENT,
        credential: Credential::Bearer(tokens::access(&data.keys)?),
        message: get_patient(N),
    };
    let bytes = call.probe::<Patient>(is_patient(N)).await?;
    let latency = tokio::task::block_in_place(|| {
        oha::run(&oha, &call, bytes, most / 2.0, setting.effort.time * 4)
    })?;
    report.add(Row {
        group: GROUP.to_owned(),
        case: format!("GetPatient at half of the rate, {}", protocol.name()),
        per_second: latency.per_second,
        p50: Some(millis(latency.p50)),
        p99: Some(millis(latency.p99)),
        p999: Some(millis(latency.p999)),
        cpu: Vec::new(),
        memory: memory(&suite.watched()),
    });
    suite.stop()
}
