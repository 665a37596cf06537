//! Checks that docs/operating.md lists exactly the existing settings, and that docker-compose.yml
//! passes them on.

use std::collections::BTreeSet;

use clap::{Args, Command};
use clinic_net::settings;

fn variables<A: Args>() -> BTreeSet<String> {
    let command = A::augment_args(Command::new("any"));
    let variables = command.get_arguments().filter_map(|argument| argument.get_env());
    variables.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn every_setting_is_documented_and_every_documented_one_exists() {
    let mut settings = BTreeSet::from(["CLINIC_HEALTH_URL".to_owned()]);
    settings.extend(variables::<settings::Process>());
    settings.extend(variables::<clinic::Config>());
    settings.extend(variables::<clinic_auth::Config>());
    settings.extend(variables::<clinic_records::Config>());
    settings.extend(variables::<clinic_assignment::Config>());
    settings.extend(variables::<clinic_gateway::Config>());

    let text = include_str!("../../docs/operating.md");
    let (_, table) = text.split_once("| variable |").unwrap();
    let documented: BTreeSet<String> = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `"))
        .flat_map(|row| row.split('|').next().unwrap().split(','))
        .map(|name| name.trim_matches([' ', '`']).to_owned())
        .collect();
    assert_eq!(documented, settings);
    let known = settings::VARIABLES.map(str::to_owned).into_iter().chain(["DATABASE_URL".into()]);
    assert_eq!(known.collect::<BTreeSet<_>>(), documented);
}

#[test]
fn docker_compose_passes_every_setting_on() {
    let passed = include_str!("../../docker-compose.yml");
    let process = variables::<settings::Process>();
    for (program, mut settings) in [
        ("clinic-auth", variables::<clinic_auth::Config>()),
        ("clinic-records", variables::<clinic_records::Config>()),
        ("clinic-assignment", variables::<clinic_assignment::Config>()),
        ("clinic-gateway", variables::<clinic_gateway::Config>()),
    ] {
        settings.extend(process.clone());
        // TLS files are on the host, without a volume. Shutdown must fit Docker's grace period.
        let is_passed =
            |name: &str| !["CLINIC_TLS_", "CLINIC_SHUTDOWN_"].iter().any(|of| name.starts_with(of));
        settings.retain(|name| is_passed(name));
        let (_, service) = passed.split_once(&format!("command: [{program}]")).unwrap();
        let service = service.split("healthcheck:").next().unwrap();
        for name in settings {
            assert!(service.contains(&format!("{name}:")), "{program}: {name}");
        }
    }
}
