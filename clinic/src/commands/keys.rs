//! `clinic keys …`.

use anyhow::Result;
use clap::Subcommand;
use clinic_chassis::process::say;
use clinic_chassis::settings::Keys;
use clinic_clock::Clock;
use clinic_identity::ActsFor;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes the keys that are missing
    Init(Keys),
    /// Adds new signing keys; the old ones stay trusted until their files are removed
    Rotate(Keys),
    /// Adds a key for an internal service of yours, which calls as itself (SERVICE)
    AddService {
        /// The service's name: small letters, digits and -
        name: String,
        #[command(flatten)]
        keys: Keys,
    },
}

pub(crate) fn run(command: &Command) -> Result<()> {
    let clock = Clock::system();
    let (keys, made) = match command {
        Command::Init(keys) => (keys, keys.open().init(&clock)?),
        Command::Rotate(keys) => (keys, keys.open().rotate(&clock)?),
        Command::AddService { name, keys } => {
            let made = keys.open().add_issuer(name, ActsFor::Itself, &clock)?;
            (keys, made.into_iter().collect())
        }
    };
    for key in &made {
        say(&format!("made {}", keys.keys_dir.join(key).display()));
    }
    if made.is_empty() {
        say(&format!("nothing to do: the keys are in {}", keys.keys_dir.display()));
    }
    Ok(())
}
