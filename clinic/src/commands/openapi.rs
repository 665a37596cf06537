//! `clinic openapi`: writes the OpenAPI document of the REST API.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clinic_proto::DOCUMENTED_FILE_DESCRIPTOR_SET;
use clinic_rest::openapi;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let document = openapi::document(DOCUMENTED_FILE_DESCRIPTOR_SET);
    let document = document.map_err(|error| anyhow!("invalid contract: {error}"))?;
    let text = format!("{document:#}\n");
    match &args.output {
        None => match io::stdout().write_all(text.as_bytes()) {
            // The reader, such as `head`, has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("writing to stdout"),
        },
        Some(file) => fs::write(file, text).with_context(|| format!("writing {}", file.display())),
    }
}
