//! The process `clinic-auth`.

use std::process::ExitCode;

use clinic_server::Program;
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "clinic-auth",
        about: "Clinic's auth service: accounts, sessions, tokens and signing keys",
        listen: "127.0.0.1:50051",
    };
    program.run(clinic_auth::open)
}
