//! A console that somebody else's machine speaks on: a file that was recorded, or a stream.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::judge::recording::{Heard, Recording};

/// Instead of a path: standard input.
const STDIN: &str = "-";

/// See the module.
pub struct Console {
    name: String,
    input: File,
    is_live: bool,
    recording: Recording,
    heard: VecDeque<Heard>,
    /// Whether all was read.
    over: bool,
    buffer: Vec<u8>,
}

/// What comes next.
pub(super) enum Next {
    /// This.
    Heard(Heard),
    /// Nothing any more.
    Over,
    /// Nothing for as long as one had patience.
    Late,
    /// The user wants it to end.
    Stopped,
}

impl Console {
    /// The console at `path`, or standard input.
    pub fn open(path: &Path) -> Result<Console> {
        let (name, input) = if path == Path::new(STDIN) {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(Error::Usage(
                    "standard input is a terminal; pipe a console into it, as in `ssh lab console \
                     box | xtf-runner judge -`, or name a file"
                        .into(),
                ));
            }
            let name = "standard input";
            let input = stdin.as_fd().try_clone_to_owned().io("read", Path::new(name))?;
            (name.to_owned(), File::from(input))
        } else {
            (path.display().to_string(), File::open(path).io("open", path)?)
        };
        let is_live = !input.metadata().io("look at", path)?.is_file();
        Ok(Console {
            name,
            input,
            is_live,
            recording: Recording::default(),
            heard: VecDeque::new(),
            over: false,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// What to call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it comes as it is spoken: for what was recorded, time means nothing.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// How many lines were read.
    pub(super) fn lines(&self) -> usize {
        self.recording.lines()
    }

    /// Waits for what comes next, on a stream only as long as there is `patience`.
    pub(super) fn next(&mut self, patience: Option<Duration>, stop: &StopSignal) -> Result<Next> {
        loop {
            if stop.requested().is_some() {
                return Ok(Next::Stopped);
            }
            if let Some(heard) = self.heard.pop_front() {
                return Ok(Next::Heard(heard));
            }
            if self.over {
                return Ok(Next::Over);
            }
            if self.is_live {
                let (input, stopped) = self.wait(patience, stop)?;
                if !input && !stopped {
                    return Ok(Next::Late);
                }
                if stopped {
                    continue;
                }
            }
            self.read()?;
        }
    }

    /// Whether there is input, and whether a signal came.
    fn wait(&self, patience: Option<Duration>, stop: &StopSignal) -> Result<(bool, bool)> {
        let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let mut fds = [
            PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => Ok((!fds[0].revents().is_empty(), !fds[1].revents().is_empty())),
            // Whoever sent a signal is to be looked for.
            Err(rustix::io::Errno::INTR) => Ok((false, true)),
            Err(e) => Err(e).io("wait for", Path::new(&self.name)),
        }
    }

    /// Takes what there is. This does not wait where `wait` has seen input: the descriptor may be
    /// shared with others, to whom it must not become one that never waits.
    fn read(&mut self) -> Result<()> {
        let Console { recording, heard, .. } = self;
        match self.input.read(&mut self.buffer) {
            Ok(0) => {
                self.over = true;
                recording.finish(&mut |item| heard.push_back(item));
            }
            Ok(count) => recording.feed(&self.buffer[..count], &mut |item| heard.push_back(item)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e).io("read", Path::new(&self.name)),
        }
        Ok(())
    }
}
