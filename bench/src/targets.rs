//! The performance targets, mostly ratios within one run.

use crate::call::Protocol;
use crate::groups::{Rpc, accounts, edge, gateway, growth, service};
use crate::peers::{ENVOY, NGINX, STRUCTURED_PROXY};
use crate::report::{Bound, Report, Target};
use crate::suite::Store;

pub(crate) fn of(report: &Report) -> Vec<Target> {
    let service = |case: &str| report.rate(service::GROUP, case);
    let alone = |rpc, store| report.rate(service::GROUP, &service::name(rpc, store));
    let pgbench = |rpc| service(&service::by_pgbench(rpc));
    let at = |who: &str, protocol| report.rate(edge::GROUP, &edge::name(who, protocol));
    let better = |protocol| Some(at(ENVOY, protocol)?.max(at(STRUCTURED_PROXY, protocol)?));
    let accounts = |case| report.rate(accounts::GROUP, case);
    let at_least = |name: &str, value, bound| target(name, value, Bound::AtLeast(bound));
    let at_most = |name: &str, value, bound| target(name, value, Bound::AtMost(bound));

    let mut targets = vec![
        at_least(
            "records, GetPatient on PostgreSQL / the same SELECT by pgbench",
            ratio(alone(Rpc::GetPatient, Store::Postgres), pgbench(Rpc::GetPatient)),
            0.6,
        ),
        at_least(
            "records, GetPatient on SQLite / a bare tonic service answering from memory",
            ratio(alone(Rpc::GetPatient, Store::Sqlite), service(service::FROM_MEMORY)),
            0.5,
        ),
        at_least(
            "gateway, gRPC-Web over HTTP/2 / the better of Envoy and structured-proxy",
            ratio(at(edge::OURS, Protocol::WebHttp2), better(Protocol::WebHttp2)),
            1.3,
        ),
        at_least(
            "gateway, gRPC-Web over HTTP/1.1 / the better of Envoy and structured-proxy",
            ratio(at(edge::OURS, Protocol::WebHttp1), better(Protocol::WebHttp1)),
            1.3,
        ),
        at_least(
            "gateway, gRPC / nginx grpc_pass, which checks nothing",
            ratio(at(edge::OURS, Protocol::Grpc), at(NGINX, Protocol::Grpc)),
            1.0,
        ),
        at_least(
            "records, ListPatients (50) on PostgreSQL / its SQL by pgbench",
            ratio(alone(Rpc::ListPatients, Store::Postgres), pgbench(Rpc::ListPatients)),
            0.5,
        ),
        at_least(
            "records, CreatePatient on PostgreSQL / the same INSERT by pgbench",
            ratio(alone(Rpc::CreatePatient, Store::Postgres), pgbench(Rpc::CreatePatient)),
            0.6,
        ),
        at_least(
            "Login / argon2 alone on all cores",
            ratio(accounts(accounts::LOGIN), accounts(accounts::ARGON2)),
            0.9,
        ),
        at_most("four processes, idle, MiB", report.value(gateway::IDLE), 60.0),
        at_most("four processes, after load, MiB", report.value(gateway::LOADED), 150.0),
    ];
    let [small, _, large] = growth::SIZES;
    for store in Store::BOTH {
        for kind in growth::Kind::TARGETS {
            let case = |size| report.row(growth::GROUP, &growth::name(kind, store, size));
            let time = |size| case(size)?.latency.p50;
            let name =
                format!("{} on {}, at {large} patients / at {small}", kind.name(), store.name());
            targets.push(at_most(&name, ratio(time(large), time(small)), 1.2));
        }
    }
    targets
}

fn target(name: &str, value: Option<f64>, bound: Bound) -> Target {
    let reached = value.map(|value| bound.holds(value));
    Target { name: name.to_owned(), value, bound, reached }
}

fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(of? / to?)
}
