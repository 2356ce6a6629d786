//! Values of enumerations by their names.
//!
//! Input: an enumeration and a number. Output: `East`, or `Read | Write` where the enumeration is one of flags. Specification: ECMA-335
//! II.14.3 (its fields are constants), II.22.10 (its attributes).

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Enumeration {
    /// Whether several of its values may stand together.
    pub(super) is_flags: bool,
    /// In the order of declaration.
    pub(super) values: Vec<(i64, String)>,
}

impl Enumeration {
    /// What it calls a number, of less than 8 bytes extended by its sign where it has one; `None` where it has no name for it.
    pub(in crate::runtimes::coreclr) fn name(&self, number: i64) -> Option<String> {
        if let Some((_, name)) = self.values.iter().find(|(value, _)| *value == number) {
            return Some(name.clone());
        }
        if !self.is_flags {
            return None;
        }
        // Source: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Enum.cs, InternalFlagsFormat: the largest first.
        let mut sorted: Vec<&(i64, String)> = self.values.iter().filter(|(value, _)| *value != 0).collect();
        sorted.sort_by_key(|(value, _)| std::cmp::Reverse(value.cast_unsigned()));
        let mut left = number;
        let mut found = Vec::new();
        for (value, name) in sorted {
            if left & value == *value {
                left &= !value;
                found.push(name.as_str());
            }
        }
        found.reverse();
        (left == 0 && !found.is_empty()).then(|| found.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_together_and_others_do_not() {
        let values = |all: &[(i64, &str)]| all.iter().map(|(value, name)| (*value, (*name).to_owned())).collect();
        // System.IO.FileAccess: Read 1, Write 2, ReadWrite 3.
        let access = Enumeration { is_flags: true, values: values(&[(1, "Read"), (2, "Write"), (3, "ReadWrite")]) };
        assert_eq!(access.name(3).as_deref(), Some("ReadWrite"));
        let two = Enumeration { is_flags: true, values: values(&[(0, "None"), (1, "Read"), (2, "Write"), (4, "Run")]) };
        assert_eq!(two.name(5).as_deref(), Some("Read | Run"));
        assert_eq!((two.name(0).as_deref(), two.name(8), two.name(9)), (Some("None"), None, None));
        let wing = Enumeration { is_flags: false, values: values(&[(1, "North"), (2, "South")]) };
        assert_eq!((wing.name(2).as_deref(), wing.name(3)), (Some("South"), None));
        let minus = Enumeration { is_flags: false, values: values(&[(-1, "Absent")]) };
        assert_eq!(minus.name(-1).as_deref(), Some("Absent"));
    }
}
