//! The program; all of it is in the library.

use xtf_runner::base::exit::Exit;

fn main() -> Exit {
    xtf_runner::main()
}
