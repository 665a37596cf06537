//! The process `clinic-assignment`.

use std::process::ExitCode;

use clinic_server::Program;
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "clinic-assignment",
        about: "Clinic's assignment service: which doctor treats which patient",
        listen: "127.0.0.1:50053",
    };
    program.run(clinic_assignment::open)
}
