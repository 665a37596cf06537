//! What every server process of the suite has: settings, logs, the call that is being answered,
//! errors, health, reflection, channels to other services, and an orderly end.
//!
//! Owns no business rule and no table.
//!
//! Every service is put together in the same way. Its `lib.rs` has
//!
//! ```text
//! pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/records");
//!
//! /// Connects to what the service needs and puts it together; `Server::run` serves.
//! pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<chassis::Server> {
//!     let db = config.database.open().await?;
//!     store::check_schema(&db, &MIGRATIONS).await?;
//!     let guard = config.keys.guard(&clock)?;
//!     Ok(Server::new("clinic-records", guard, config.serving.shutdown_grace)
//!         .service(PatientServiceServer::new(…))
//!         .background(housekeeping(db.clone(), clock))
//!         .database(db))
//! }
//! ```
//!
//! its `config.rs` a `#[derive(clap::Args, Clone, Debug)] pub struct Config` that flattens
//! [`settings`]' parts (`Serving`, `Keys`, `Database`) beside its own flags, and its `main.rs`
//!
//! ```text
//! #[derive(Parser)]
//! #[command(version, about)]
//! struct Args {
//!     /// HOST:PORT to listen on
//!     #[arg(long, env = "CLINIC_LISTEN", default_value = "127.0.0.1:50052")]
//!     listen: String,
//!     #[command(flatten)]
//!     process: settings::Process,
//!     #[command(flatten)]
//!     config: Config,
//! }
//!
//! fn main() -> ExitCode {
//!     process::run(|| async {
//!         let args = Args::parse();
//!         telemetry::start(&args.process.log)?;
//!         let server = clinic_records::open(&args.config, Clock::system()).await?;
//!         process::serve(server, &args.listen).await
//!     })
//! }
//! ```

pub mod call;
mod deadline;
mod error;
mod guard;
pub mod health;
mod listener;
pub mod process;
mod server;
pub mod settings;
pub mod telemetry;
pub mod upstream;

pub use call::{Call, caller, receive};
pub use deadline::{format_timeout, parse_timeout};
pub use error::Error;
pub use guard::{Guard, GuardLayer};
pub use listener::bind;
pub use server::{Server, drain};
pub use upstream::Upstream;

/// The header that names a call in every log it leaves a trace in.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
