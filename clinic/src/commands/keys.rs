//! `clinic keys …`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use clinic_clock::Clock;
use clinic_identity::{ActsFor, KeyDir};
use clinic_net::process::say;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes the keys that are missing
    Init(Place),
    /// Adds new signing keys; the old ones stay trusted until their files are removed
    Rotate(Place),
    /// Adds a key for an internal service of yours, which calls as itself (SERVICE)
    AddService {
        /// The service's name: small letters, digits and -
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the keys are.
#[derive(Args)]
pub(crate) struct Place {
    /// The keys directory; without it `keys` in the data directory, as `clinic up` has it
    #[arg(long, env = "CLINIC_KEYS_DIR")]
    keys_dir: Option<PathBuf>,
    /// The data directory of `clinic up`
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
        Command::AddService { name, .. } if KeyDir::is_of_the_suite(name) => {
            bail!("{name} is a service of the suite, whose keys `clinic keys init` makes")
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
