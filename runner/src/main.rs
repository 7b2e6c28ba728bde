//! The executable. The library holds everything.

use xtf_runner::base::exit::Exit;

fn main() -> Exit {
    xtf_runner::main()
}
