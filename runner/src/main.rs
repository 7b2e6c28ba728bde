//! The executable. The library holds everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtf_runner::main()
}
