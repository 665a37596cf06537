//! Rebuilds when a migration is added: `sqlx::migrate!` only watches the files that exist already.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations/auth");
}
