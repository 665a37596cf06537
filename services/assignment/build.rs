//! Tells cargo about the migrations, which `sqlx::migrate!` reads at compile time.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/assignment");
}
