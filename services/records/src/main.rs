//! The process `clinic-records`.

use std::process::ExitCode;

use clinic_server::Program;
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "clinic-records",
        about: "Clinic's records service: patients and doctors",
        listen: "127.0.0.1:50052",
    };
    program.run(clinic_records::open)
}
