//! How long a name may become: types in types multiply.

use std::cell::Cell;

use crate::model::{Gap, Known};

/// Most bytes of one name.
const MAX_NAME: usize = 1 << 16;

/// What is left for the parts of one name.
pub(super) struct Room(Cell<usize>);

impl Default for Room {
    fn default() -> Room {
        Room(Cell::new(MAX_NAME))
    }
}

impl Room {
    /// Takes so many bytes; fails where there are no more.
    pub(super) fn take(&self, bytes: usize) -> Known<()> {
        let too_long = || Gap::Unsupported(format!("names of more than {MAX_NAME} bytes"));
        self.0.set(self.0.get().checked_sub(bytes).ok_or_else(too_long)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_bytes_and_no_more() {
        let room = Room::default();
        assert_eq!(room.take(MAX_NAME), Ok(()));
        assert!(room.take(1).is_err());
        assert_eq!(room.take(0), Ok(()));
    }
}
