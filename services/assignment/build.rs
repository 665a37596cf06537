//! `sqlx::migrate!` reads the migrations at compile time; cargo does not know of them otherwise.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/assignment");
}
