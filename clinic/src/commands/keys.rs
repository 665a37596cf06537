//! `clinic keys …`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use clinic_clock::Clock;
use clinic_identity::{ActsFor, KeyDir};
use clinic_net::process::say;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create missing keys
    Init(Place),
    /// Add new signing keys. The old ones stay trusted until their files are removed
    Rotate(Place),
    /// Add a key for an internal service of your own, which calls with the SERVICE role
    AddService {
        /// Name of the service: lower-case letters, digits and -
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Location of the keys.
#[derive(Args)]
pub(crate) struct Place {
    /// Keys directory. Defaults to `keys` in the data directory, as in `clinic up`
    #[arg(long, env = "CLINIC_KEYS_DIR")]
    keys_dir: Option<PathBuf>,
    /// Data directory of `clinic up`
    #[arg(long, env = "CLINIC_DATA_DIR", default_value = "./data")]
    data_dir: PathBuf,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    let clock = Clock::system();
    let (Command::Init(place) | Command::Rotate(place) | Command::AddService { place, .. }) =
        command;
    let keys = match &place.keys_dir {
        Some(keys_dir) => KeyDir::new(keys_dir),
        None => KeyDir::new(clinic::keys_dir(&place.data_dir)),
    };
    let made = match command {
        Command::Init(_) => keys.init(&clock)?,
        Command::Rotate(_) => keys.rotate(&clock)?,
        Command::AddService { name, .. } if KeyDir::is_reserved(name) => {
            bail!("{name} is a service of the suite: create its keys with `clinic keys init`")
        }
        Command::AddService { name, .. } => keys.add_issuer(name, ActsFor::Itself, &clock)?,
    };
    for file in &made {
        say(&format!("wrote {}", keys.path().join(file).display()));
    }
    if made.is_empty() {
        say(&format!("nothing to do: the keys are in {}", keys.path().display()));
    }
    Ok(())
}
