//! Names for the numbers in replies and requests; an unlisted number stays representable.

use super::consts::{
    ACTION_APPLY, ACTION_REPLACE, ACTION_REVERT, ACTION_UNLOAD, STATE_APPLIED, STATE_CHECKED,
};

/// The state of a payload as GET and LIST report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Loaded and verified, not in effect.
    Checked,
    /// In effect.
    Applied,
    /// A number that no Xen is known to report.
    Other(u32),
}

impl From<u32> for State {
    fn from(raw: u32) -> Self {
        match raw {
            STATE_CHECKED => Self::Checked,
            STATE_APPLIED => Self::Applied,
            other => Self::Other(other),
        }
    }
}

impl From<State> for u32 {
    fn from(state: State) -> Self {
        match state {
            State::Checked => STATE_CHECKED,
            State::Applied => STATE_APPLIED,
            State::Other(raw) => raw,
        }
    }
}

/// What an ACTION asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionCmd {
    /// Forget a payload that is not in effect.
    Unload,
    /// Take the most recently applied payload out of effect.
    Revert,
    /// Bring a payload into effect.
    Apply,
    /// Revert everything that is applied, then apply this payload.
    Replace,
    /// A number that Xen should refuse.
    Other(u32),
}

impl From<u32> for ActionCmd {
    fn from(raw: u32) -> Self {
        match raw {
            ACTION_UNLOAD => Self::Unload,
            ACTION_REVERT => Self::Revert,
            ACTION_APPLY => Self::Apply,
            ACTION_REPLACE => Self::Replace,
            other => Self::Other(other),
        }
    }
}

impl From<ActionCmd> for u32 {
    fn from(cmd: ActionCmd) -> Self {
        match cmd {
            ActionCmd::Unload => ACTION_UNLOAD,
            ActionCmd::Revert => ACTION_REVERT,
            ActionCmd::Apply => ACTION_APPLY,
            ActionCmd::Replace => ACTION_REPLACE,
            ActionCmd::Other(raw) => raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_round_trip() {
        for raw in (0..=6).chain([u32::MAX]) {
            assert_eq!(u32::from(State::from(raw)), raw);
            assert_eq!(u32::from(ActionCmd::from(raw)), raw);
        }
        assert_eq!(State::from(0), State::Other(0));
        assert_eq!(ActionCmd::from(5), ActionCmd::Other(5));
    }
}
