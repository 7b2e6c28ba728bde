//! `run --record-failures`: what ended early is made again at once, and kept where its logs are.

use std::fs;
use std::path::{Path, PathBuf};

use super::subject::{MB, RECORDED, Subject};
use super::{AtEnd, remake};
use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::machine::plugin::Plugin;
use crate::machine::rewind::sweep;
use crate::results::again;
use crate::results::event::{Listener, RunEvent};

/// Passes events on, and notes which boots ended early.
pub struct Early<'l> {
    listener: &'l mut dyn Listener,
    /// The folders of boots that run.
    running: Vec<(usize, PathBuf)>,
    /// Those of boots that ended early.
    ended: Vec<(usize, PathBuf)>,
}

impl<'l> Early<'l> {
    /// Passes them on to `listener`.
    pub fn new(listener: &'l mut dyn Listener) -> Early<'l> {
        Early { listener, running: Vec::new(), ended: Vec::new() }
    }

    /// Records the boots that ended early, while there is room of `limit` bytes in all; says of each
    /// what came of it.
    pub fn record(self, plugin: &Plugin, limit: u64, stop: &StopSignal) -> Result<()> {
        let mut left = limit;
        for (boot, logs) in self.ended {
            if stop.requested().is_some() {
                return Ok(());
            }
            let text = match record(&logs, plugin, left, stop) {
                Ok((size, how)) => {
                    left = left.saturating_sub(size);
                    let (dir, size) = (logs.join(RECORDED), size.div_ceil(MB));
                    format!(
                        "recorded in {}, {size} MB; {how}\nit can be debugged anywhere, with the \
                         same version of QEMU: xtf-runner debug {RECORDED}",
                        dir.display()
                    )
                }
                Err(Error::Usage(why) | Error::Data(why) | Error::Tool(why)) => {
                    format!("not recorded: {why}")
                }
                Err(error) => return Err(error),
            };
            self.listener.event(&RunEvent::Recorded { boot, text: &text });
        }
        Ok(())
    }
}

impl Listener for Early<'_> {
    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::BootStarted { boot, facts, .. } => {
                self.running.push((*boot, facts.logs.to_owned()));
            }
            RunEvent::BootEnded { boot, ended_by, .. } => {
                let found = self.running.iter().position(|(number, _)| number == boot);
                let ended = found.map(|found| self.running.swap_remove(found));
                self.ended.extend(ended.filter(|_| ended_by.is_some_and(again::is_early)));
            }
            _ => {}
        }
        self.listener.event(event);
    }
}

/// Records the boot whose logs are in the folder `from`. Returns the size of what is kept, and whether
/// it ended as before.
fn record(from: &Path, plugin: &Plugin, limit: u64, stop: &StopSignal) -> Result<(u64, String)> {
    let (subject, boot) = Subject::beside(from, limit)?;
    let dir = &subject.dir;
    let mut said = Vec::new();
    let done = remake(&subject, boot, plugin, stop, &mut |text| {
        said.push(text.to_owned());
        Ok(())
    });
    // Half a recording is of no use to anybody.
    let AtEnd { replay, exit, .. } = match done {
        Ok(done) => done,
        Err(error) => {
            fs::remove_dir_all(dir).io("remove", dir)?;
            return Err(error);
        }
    };
    drop(replay);
    sweep(dir)?;
    let how = said.pop().unwrap_or_default();
    let how = if exit == Exit::Success { "it ended as before".into() } else { how };
    let mut size = 0;
    for entry in fs::read_dir(dir).io("read", dir)? {
        size += entry.and_then(|entry| entry.metadata()).io("read", dir)?.len();
    }
    Ok((size, how))
}
