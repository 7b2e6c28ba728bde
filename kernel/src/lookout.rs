//! Somebody outside of the machine, who can be asked what Xen's code looks like.
//!
//! Under QEMU this is the runner, if it says so on the command line ([`protocol::lookout`]). On
//! hardware there is nobody.

use alloc::string::String;
use alloc::vec::Vec;

use arch::serial::Com2;
use protocol::console::{DIAGNOSTIC, INDENT};
use protocol::lookout::{ANSWER_MAX, Answer, COM2, Finding, LOOKOUT, Request};

use crate::cmdline;
use crate::outcome::{Outcome, Stop};
use crate::println;

/// Asks; passes if it is so.
///
/// # Errors
/// [`Stop::Failure`] if it is not so, [`Stop::Skip`] where nobody looks or nobody can tell, and
/// [`Stop::Error`] if whoever looks did not see it.
pub fn ask(request: Request) -> Outcome {
    match cmdline::parameter(LOOKOUT) {
        Some(COM2) => {}
        Some(other) => {
            return Err(Stop::error(format_args!(
                "command line: {LOOKOUT}={other} is unknown; expected {COM2}"
            )));
        }
        None => return Err(Stop::skip("nobody looks at this machine from outside")),
    }
    let port = Com2::open().ok_or_else(|| Stop::error("there is no second serial port"))?;
    port.send(request.line().as_bytes());
    port.send(b"\n");
    let line = line(&port);
    drop(port);
    let Some(Answer { finding, text }) = Answer::of_line(&line) else {
        return Err(Stop::error(format_args!("the answer from outside is `{line}`")));
    };
    match finding {
        Finding::Holds => {
            if !text.is_empty() {
                println!("{INDENT}{DIAGNOSTIC}{text}");
            }
            Ok(())
        }
        Finding::Untold => Err(Stop::skip(text)),
        Finding::Broken => Err(Stop::failure(text)),
        Finding::Unseen => Err(Stop::error(text)),
    }
}

/// The next line.
fn line(port: &Com2) -> String {
    let mut line = Vec::new();
    loop {
        match port.receive() {
            b'\n' => break,
            byte if line.len() < ANSWER_MAX => line.push(byte),
            // Whoever talks so much is somebody else.
            _ => break,
        }
    }
    String::from_utf8_lossy(&line).into_owned()
}
