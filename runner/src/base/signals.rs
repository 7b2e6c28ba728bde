//! SIGINT and SIGTERM as a file descriptor that becomes, and stays, readable.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::base::exit::{Exit, IoContext, Result};

/// Tells whether the user wants the run to end. Nobody reads the pipe empty, so every boot that
/// waits on it wakes up.
#[derive(Debug)]
pub struct StopSignal {
    pipe: UnixStream,
    signal: Arc<AtomicUsize>,
}

impl StopSignal {
    /// From here on the two signals no longer kill the runner.
    pub fn install() -> Result<StopSignal> {
        let install = || -> io::Result<StopSignal> {
            let signal = Arc::new(AtomicUsize::new(0));
            let (pipe, sender) = UnixStream::pair()?;
            for number in [SIGINT, SIGTERM] {
                // In this order: who wakes up finds the number.
                let value = usize::try_from(number).unwrap_or_default();
                signal_hook::flag::register_usize(number, Arc::clone(&signal), value)?;
                signal_hook::low_level::pipe::register(number, sender.try_clone()?)?;
            }
            Ok(StopSignal { pipe, signal })
        };
        install().io("install", Path::new("signal handlers"))
    }

    /// No signal ever comes: for tests, which Ctrl-C is to end.
    #[cfg(test)]
    pub fn none() -> StopSignal {
        let (pipe, sender) = UnixStream::pair().unwrap();
        #[expect(clippy::mem_forget, reason = "closing it would wake up whoever waits")]
        std::mem::forget(sender);
        StopSignal { pipe, signal: Arc::default() }
    }

    /// This one came: for tests.
    #[cfg(test)]
    pub fn came(signal: rustix::process::Signal) -> StopSignal {
        // Nobody holds the other end: it is readable.
        let (pipe, _) = UnixStream::pair().unwrap();
        let signal = usize::try_from(signal.as_raw()).unwrap();
        StopSignal { pipe, signal: Arc::new(signal.into()) }
    }

    /// The exit code of the signal that came, if one came.
    pub fn requested(&self) -> Option<Exit> {
        match i32::try_from(self.signal.load(Ordering::SeqCst)) {
            Ok(SIGINT) => Some(Exit::Interrupted),
            Ok(SIGTERM) => Some(Exit::Terminated),
            _ => None,
        }
    }
}

impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
