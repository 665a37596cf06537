//! The program of a service: its arguments and its life.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};
use clinic_clock::Clock;
use clinic_net::settings::{Process, Serving};
use clinic_net::{process, telemetry};

use crate::Server;
use crate::server::serve_until_signal;

/// The program of a service.
pub struct Program {
    /// Its name, such as `clinic-records`.
    pub name: &'static str,
    /// What it is, for `--help`.
    pub about: &'static str,
    /// The default HOST:PORT to listen on.
    pub listen: &'static str,
}

#[derive(Parser)]
#[command(version)]
struct Arguments<C: Args> {
    /// HOST:PORT to listen on
    #[arg(long, env = "CLINIC_LISTEN")]
    listen: String,
    #[command(flatten)]
    process: Process,
    #[command(flatten)]
    config: C,
}

impl Program {
    /// Parses the arguments and serves until SIGTERM or Ctrl-C. `C` are the settings of the service,
    /// which contain [`crate::settings::Common`]. `open` creates its server.
    pub fn run<C: Args>(&self, open: impl AsyncFnOnce(&C, Clock) -> Result<Server>) -> ExitCode {
        process::run(|| async {
            let matches = self.command::<C>().get_matches();
            let arguments = Arguments::<C>::from_arg_matches(&matches)?;
            let serving = Serving::from_arg_matches(&matches)?;
            telemetry::start(&arguments.process.log)?;
            let opening = open(&arguments.config, Clock::system());
            serve_until_signal(opening, &arguments.listen, &serving).await
        })
    }

    fn command<C: Args>(&self) -> clap::Command {
        let command =
            Arguments::<C>::command().name(self.name).about(self.about).long_about(None::<&str>);
        command.mut_arg("listen", |listen| listen.required(false).default_value(self.listen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Common;

    #[test]
    fn a_program_has_its_own_name_help_and_default_address() {
        let program = Program { name: "clinic-x", about: "The x service", listen: "127.0.0.1:1" };
        let mut command = program.command::<Common>();
        command.clone().debug_assert();
        let help = command.render_help().to_string();
        assert!(help.starts_with("The x service\n\nUsage: clinic-x "), "{help}");
        let arguments = ["clinic-x", "--database-url", "sqlite:x", "--shutdown-delay", "7s"];
        let matches = command.get_matches_from(arguments);
        assert_eq!(Arguments::<Common>::from_arg_matches(&matches).unwrap().listen, "127.0.0.1:1");
        assert_eq!(Serving::from_arg_matches(&matches).unwrap().shutdown_delay.as_secs(), 7);
    }
}
