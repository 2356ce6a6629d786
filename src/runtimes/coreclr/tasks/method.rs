//! The method that a state machine was made of.

/// `Shop.Orders.Take` of `Shop.Orders+<Take>d__3`; `None` for a type that no compiler made of a method.
pub(in crate::runtimes::coreclr) fn method_of(machine: &str) -> Option<String> {
    let (outer, own) = machine.split_at(last_plus(machine)?);
    let own = own.strip_prefix('+')?.strip_prefix('<')?;
    let end = closing(own)?;
    let name = own.get(..end).filter(|name| !name.is_empty())?;
    Some(format!("{outer}.{name}"))
}

/// The method of a box, by the box's class, whose last argument is the state machine: of
/// `…AsyncTaskMethodBuilder<System.Int32>+AsyncStateMachineBox<Shop.Orders+<Take>d__3>`.
pub(super) fn of_box(class: &str) -> Option<String> {
    const BOX: &str = "StateMachineBox<";
    let at = class.find(BOX)?.checked_add(BOX.len())?;
    method_of(class.get(at..)?.strip_suffix('>')?)
}

/// Where the last `+` is that stands in no angle brackets.
fn last_plus(name: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut last = None;
    for (at, letter) in name.char_indices() {
        match letter {
            '<' => depth = depth.saturating_add(1),
            '>' => depth = depth.saturating_sub(1),
            '+' if depth == 0 => last = Some(at),
            _ => {}
        }
    }
    last
}

/// Where the bracket ends that was opened before.
fn closing(name: &str) -> Option<usize> {
    let mut depth = 1usize;
    for (at, letter) in name.char_indices() {
        match letter {
            '<' => depth = depth.saturating_add(1),
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{method_of, of_box};

    #[test]
    fn a_box_is_called_after_the_method_of_its_state_machine() {
        // A class's name of specimen-10.0.14.
        let builder = "System.Runtime.CompilerServices.AsyncTaskMethodBuilder<System.Int32>";
        let told = of_box(&format!("{builder}+AsyncStateMachineBox<Museum.Program+<Inner>d__8>"));
        assert_eq!(told.as_deref(), Some("Museum.Program.Inner"));
        assert_eq!(of_box(builder), None);
        assert_eq!(of_box("A+StateMachineBox<"), None);
    }

    #[test]
    fn a_state_machine_is_called_after_its_method() {
        // Names of specimen-10.0.14, methods as its sources have them.
        let told = |name| method_of(name).unwrap_or_default();
        assert_eq!(told("Museum.Program+<Inner>d__8"), "Museum.Program.Inner");
        assert_eq!(
            told("System.Net.Http.SocketsHttpHandler+<<SendAsync>g__CreateHandlerAndSendAsync|118_0>d"),
            "System.Net.Http.SocketsHttpHandler.<SendAsync>g__CreateHandlerAndSendAsync|118_0"
        );
        assert_eq!(told("A.B+<>c+<<Pool>b__0>d"), "A.B+<>c.<Pool>b__0");
        assert_eq!(
            told("System.Threading.Channels.ChannelReader<System.Int32>+<ReadAllAsync>d__12"),
            "System.Threading.Channels.ChannelReader<System.Int32>.ReadAllAsync"
        );
        assert_eq!(told("A.B+<M>d__1<A.B+<N>d__2>"), "A.B.M");
        for other in ["", "A", "A+B", "A+<>c", "A+<", "A+<M", "+", "A+<>d"] {
            assert_eq!(method_of(other), None, "{other}");
        }
    }
}
