//! This end's terminal: raw while a session has it, and as it was afterwards, whatever happens.

use std::io;

use control_plane::session_manager::wire::Size;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Standard input as a terminal that passes every key on.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// # Errors
    /// When standard input is no terminal.
    pub fn enter() -> io::Result<RawTerminal> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(RawTerminal { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing else can be done about it.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The size of the terminal that is written to.
pub fn size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then(|| Size { rows: size.ws_row.into(), cols: size.ws_col.into() })
}
