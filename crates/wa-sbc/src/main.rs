//! The program: see the library of the same name.

use std::process::ExitCode;

// What a busy hour needed goes back to the system when it is over (docs/adr/0030-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    wa_sbc::cli::main()
}
