//! Generates the tree of Rust modules for the code of the contract's packages.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Returns the modules of these packages, such as `records::v1` for `clinic.records.v1`. Each
/// includes the file of `OUT_DIR` that is named after its package.
pub fn modules<'a>(packages: impl IntoIterator<Item = &'a str>) -> String {
    let mut versions: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for package in packages {
        let path = package.trim_start_matches("clinic.");
        let (name, version) = path.split_once('.').unwrap_or((path, "v1"));
        versions.entry(name).or_default().insert(version, package);
    }
    let mut code = String::new();
    for (name, versions) in versions {
        let _ = writeln!(
            code,
            "#[allow(clippy::all, unreachable_pub, unused_qualifications, reason = \"generated\")]
            pub mod {name} {{"
        );
        for (version, package) in versions {
            let file = format!("concat!(env!(\"OUT_DIR\"), \"/{package}.rs\")");
            let _ = writeln!(code, "pub mod {version} {{ include!({file}); }}");
        }
        code.push_str("}\n");
    }
    code
}
