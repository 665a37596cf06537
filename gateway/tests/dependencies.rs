//! Crates that the gateway must not link.

use std::process::Command;

/// Without a driver, a fault in the gateway cannot reach a database.
#[test]
fn the_gateway_links_no_database_driver() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--package", "clinic-gateway", "--edges", "normal", "--prefix", "none"])
        .args(["--locked", "--offline", "--all-features"])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.lines().any(|line| line.starts_with("clinic-net ")), "{tree}");
    for package in ["sqlx", "sqlx-core", "libsqlite3-sys", "clinic-store", "clinic-server"] {
        let linked = tree.lines().any(|line| line.split(' ').next() == Some(package));
        assert!(!linked, "the gateway links {package}");
    }
}
