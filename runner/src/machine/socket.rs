//! Sockets in the folder of a boot, whatever the length of its name.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Connects to the socket called `name` in the folder `dir`.
pub fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = File::open(dir)?;
    UnixStream::connect(short(&folder, name))
}

/// Makes the socket called `name` in the folder `dir`, and listens to it.
pub fn listen(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let folder = File::open(dir)?;
    UnixListener::bind(short(&folder, name))
}

/// The way through the open folder fits into a socket's address, its own name may not.
fn short(folder: &File, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())
}
