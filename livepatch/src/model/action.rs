//! ACTION: `livepatch_action`, and `livepatch_do_action`, which does the patching.

use alloc::vec::Vec;

use super::loader::{HookCode, Unforeseen};
use super::name::get_name;
use super::prediction::{Fields, Kind, refused};
use super::state::Model;
use crate::Errno;
use crate::abi::{ACTION_FLAG_NODEPS, ActionCmd, State};
use crate::change::Change;
use crate::payload::Hook;
use crate::program::ActionArg;

/// [`Image::risk`](super::Image::risk) has kept the payload from being applied.
const HOOK: Unforeseen = Unforeseen::Effect("what a hook does");

/// How an action ends before anything is scheduled: with this answer.
enum Early {
    Answer(i64),
    Unforeseen(Unforeseen),
}

impl From<Errno> for Early {
    fn from(errno: Errno) -> Self {
        Self::Answer(-i64::from(errno.0))
    }
}

impl From<Unforeseen> for Early {
    fn from(unforeseen: Unforeseen) -> Self {
        Self::Unforeseen(unforeseen)
    }
}

impl Model {
    pub(super) fn action(&mut self, action: &ActionArg) -> Result<Kind<'static>, Unforeseen> {
        if self.rules.has(Change::ActionFlags) && action.pad != 0 {
            return Ok(refused(Errno::EINVAL));
        }
        let name = match get_name(&action.name) {
            Ok(name) => name,
            Err(errno) => return Ok(refused(errno)),
        };
        let Some(index) = self.find(&name) else { return Ok(refused(Errno::ENOENT)) };
        let applied = self.payloads[index].state == State::Applied;
        // What turns out to be unforeseen must not have been half done.
        let (payloads, stack) = (self.payloads.clone(), self.applied.clone());
        let done = match (action.cmd, applied) {
            (ActionCmd::Unload, false) => {
                self.payloads.remove(index);
                self.stamp = self.stamp.wrapping_add(1);
                Ok(())
            }
            (ActionCmd::Unload, true) => Err(Errno::EINVAL.into()),
            (ActionCmd::Revert, true) => self.revert(index),
            (ActionCmd::Apply, false) => {
                let flags = self.rules.has(Change::ActionFlags);
                let nodeps = flags && action.flags & ACTION_FLAG_NODEPS != 0;
                self.apply(index, nodeps)
            }
            (ActionCmd::Replace, false) => self.replace(index),
            (ActionCmd::Revert, false) | (ActionCmd::Apply | ActionCmd::Replace, true) => Ok(()),
            (ActionCmd::Other(_), _) => Err(Errno::EOPNOTSUPP.into()),
        };
        let answer = match done {
            Ok(()) => 0,
            Err(Early::Answer(answer)) => answer,
            Err(Early::Unforeseen(unforeseen)) => {
                (self.payloads, self.applied) = (payloads, stack);
                return Err(unforeseen);
            }
        };
        Ok(Kind::Call { answer, fields: Fields::Same })
    }

    fn revert(&mut self, index: usize) -> Result<(), Early> {
        let payload = &self.payloads[index];
        if self.applied.last() != Some(&payload.name) {
            return Err(Errno::EBUSY.into());
        }
        self.veto(index, Hook::PreRevert)?;
        let rc = self.take_out(index)?;
        self.payloads[index].rc = rc;
        self.hook(index, Hook::PostRevert)?;
        Ok(())
    }

    fn apply(&mut self, index: usize, nodeps: bool) -> Result<(), Early> {
        let payload = &mut self.payloads[index];
        if payload.reverted && !payload.image.safe_to_reapply {
            payload.rc = -i32::from(Errno::EINVAL.0);
            return Ok(());
        }
        if !nodeps {
            let below = self.applied.last().and_then(|name| self.find(name));
            let wanted = match below {
                Some(below) => &self.payloads[below].image.build_id,
                None => &self.facts.build_id,
            };
            if self.payloads[index].image.depends != *wanted {
                return Err(Errno::EINVAL.into());
            }
        }
        if let Some(errno) = self.unmet_expectation(index)? {
            return Err(errno.into());
        }
        self.veto(index, Hook::PreApply)?;
        let rc = self.put_in(index)?;
        self.payloads[index].rc = rc;
        self.hook(index, Hook::PostApply)?;
        Ok(())
    }

    fn replace(&mut self, index: usize) -> Result<(), Early> {
        let payload = &self.payloads[index];
        if payload.image.depends != self.facts.build_id {
            return Err(Errno::EINVAL.into());
        }
        let vetoes =
            |name: &Vec<u8>| self.find(name).is_some_and(|p| self.payloads[p].image.vetoes());
        if payload.image.vetoes() || self.applied.iter().any(vetoes) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        while let Some(top) = self.applied.last().and_then(|name| self.find(name)) {
            let rc = self.take_out(top)?;
            self.payloads[top].rc = rc;
            if rc != 0 {
                self.payloads[index].rc = -i32::from(Errno::EINVAL.0);
                return Ok(());
            }
        }
        let rc = match self.unmet_expectation(index)? {
            Some(errno) => -i32::from(errno.0),
            None => self.put_in(index)?,
        };
        self.payloads[index].rc = rc;
        Ok(())
    }

    /// `livepatch_check_expectations`, for a payload that is going to be applied.
    fn unmet_expectation(&self, index: usize) -> Result<Option<Errno>, Unforeseen> {
        let image = &self.payloads[index].image;
        let unmet = image.functions.iter().find_map(|function| function.unmet);
        match image.risk {
            Some(risk @ Unforeseen::Unknown(_)) => Err(risk),
            // Not reached then.
            Some(risk) if unmet.is_none() => Err(risk),
            _ => Ok(unmet),
        }
    }

    /// Patches; the result is the payload's new rc.
    fn put_in(&mut self, index: usize) -> Result<i32, Unforeseen> {
        let rc = self.instead(index, Hook::Apply, Hook::Load)?;
        if rc == 0 {
            let payload = &mut self.payloads[index];
            payload.state = State::Applied;
            self.applied.push(payload.name.clone());
        }
        Ok(rc)
    }

    /// Undoes the patching, likewise.
    fn take_out(&mut self, index: usize) -> Result<i32, Unforeseen> {
        let rc = self.instead(index, Hook::Revert, Hook::Unload)?;
        if rc == 0 {
            let payload = &mut self.payloads[index];
            payload.state = State::Checked;
            payload.reverted = true;
            self.applied.pop();
        }
        Ok(rc)
    }

    /// Runs the hook that replaces the patching, or the patching's own ones.
    fn instead(&mut self, index: usize, whole: Hook, each: Hook) -> Result<i32, Unforeseen> {
        if self.payloads[index].image.single(whole).is_none() {
            self.hook(index, each)?;
            return Ok(0);
        }
        match self.hook(index, whole)? {
            0 if !self.payloads[index].image.functions.is_empty() => Err(HOOK),
            rc => Ok(rc),
        }
    }

    /// Calls a hook that can prevent the action.
    fn veto(&mut self, index: usize, hook: Hook) -> Result<(), Early> {
        match self.hook(index, hook)? {
            0 => Ok(()),
            rc => {
                self.payloads[index].rc = rc;
                Err(Early::Answer(rc.into()))
            }
        }
    }

    /// Calls the hooks of that kind; what the last of them returns.
    fn hook(&mut self, index: usize, when: Hook) -> Result<i32, Unforeseen> {
        let payload = &mut self.payloads[index];
        let image = payload.image.clone();
        let mut returned = 0;
        for (_, code) in image.hooks.iter().filter(|(hook, _)| *hook == when) {
            returned = match *code {
                HookCode::Returns(value) => value,
                HookCode::Takes(variable) => core::mem::take(&mut payload.variables[variable]),
                HookCode::Null => 0,
                HookCode::Other => return Err(HOOK),
            };
        }
        Ok(returned)
    }
}
