//! `clinic openapi`: the REST API as a document, for those who make clients of it.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use clinic_proto::DOCUMENTED_FILE_DESCRIPTOR_SET;
use clinic_rest::{openapi, postman};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Openapi)]
    format: Format,
    /// Where to write it, instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// An OpenAPI 3.1 document, as the gateway serves it at /openapi.json
    Openapi,
    /// A collection for Postman (2.1)
    Postman,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let document = openapi::document(DOCUMENTED_FILE_DESCRIPTOR_SET);
    let document = document.map_err(|error| anyhow!("the contract: {error}"))?;
    let document = match args.format {
        Format::Openapi => document,
        Format::Postman => postman::collection(&document),
    };
    let text = format!("{document:#}\n");
    match &args.output {
        None => io::stdout().write_all(text.as_bytes()).context("writing to stdout"),
        Some(file) => fs::write(file, text).with_context(|| format!("writing {}", file.display())),
    }
}
