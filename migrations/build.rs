//! The build script of every service. Rebuilds the service when a migration is added:
//! `sqlx::migrate!` only watches the files that exist already.

fn main() {
    let service = env!("CARGO_PKG_NAME").trim_start_matches("clinic-");
    println!("cargo::rerun-if-changed=../../migrations/{service}");
}
