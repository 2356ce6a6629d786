//! The answer in typed cells: what is waited for, and below it who awaits it, the innermost first.

use super::answer::{DumpAsync, FieldRow, FrameRow, MethodRow, StackRow};
use crate::model::Subject;
use crate::report::section::{Body, Cell, Column, Node, Row, Section, Table, Tone, Value};
use crate::views::Draw;

impl Draw for DumpAsync {
    fn draw(&self) -> Section {
        let body = match (&self.stacks, &self.methods) {
            (_, Some(methods)) if !methods.is_empty() => table(methods),
            (Some(stacks), _) if !stacks.is_empty() => tree(stacks),
            _ if self.complete => Body::Lines(vec![Row::text("No asynchronous method waits.")]),
            _ => {
                Body::Lines(vec![Row::text("No asynchronous method that waits was found, and not all could be read.")])
            }
        };
        Section { bodies: vec![body], ..Section::default() }
    }
}

fn tree(stacks: &[StackRow]) -> Body {
    let of = |stack: &StackRow| {
        let leaf = Node { depth: 0, row: leaf(stack), folded: Vec::new() };
        std::iter::once(leaf).chain(stack.frames.iter().flat_map(nodes)).collect::<Vec<_>>()
    };
    Body::Tree(stacks.iter().flat_map(of).collect())
}

/// A frame, and its fields below it.
fn nodes(own: &FrameRow) -> Vec<Node> {
    let fields = own.fields.iter().flatten().map(|field| Node { depth: 2, row: field_row(field), folded: Vec::new() });
    std::iter::once(Node { depth: 1, row: frame(own), folded: Vec::new() }).chain(fields).collect()
}

fn field_row(field: &FieldRow) -> Row {
    let type_name = field.type_name.as_ref().map(|name| Cell::new(Value::Type(name.clone())).tone(Tone::Dim));
    let name = Cell::text(format!("{} =", field.name));
    let cells = [Some(Cell::NONE), Some(name), Some(Cell::text(field.value.as_str())), type_name];
    Row { cells: cells.into_iter().flatten().collect(), subject: field.address.map(Subject::Object) }
}

fn leaf(stack: &StackRow) -> Row {
    let awaits = &stack.awaits;
    // What stands first is a column of its own.
    let mut cells =
        vec![awaits.address.map_or(Cell::NONE, |address| Cell::new(Value::Object(address)).tone(Tone::Dim))];
    if stack.count > 1 {
        cells.push(Cell::text(format!("{}×", stack.count)).tone(Tone::Strong));
    }
    cells.push(Cell::text(awaits.kind).tone(Tone::Strong));
    cells.extend(awaits.name.as_deref().map(Cell::text));
    if !stack.threads.is_empty() {
        cells.push(Cell::text("blocks").tone(Tone::Bad));
        cells.push(Cell::new(Value::Tids(stack.threads.as_slice().into())).tone(Tone::Link));
    }
    let about = stack.threads.first().map(|tid| Subject::Thread(*tid));
    Row { cells, subject: about.or(awaits.address.map(Subject::Object)) }
}

fn frame(frame: &FrameRow) -> Row {
    let name = match (&frame.method, &frame.type_name) {
        (Some(method), _) => Cell::new(Value::Function(method.clone())),
        (None, Some(name)) => Cell::new(Value::Type(name.clone())).tone(Tone::Dim),
        (None, None) => Cell::unknown("its class cannot be read"),
    };
    let state = frame.state.map(|state| match state {
        0.. => Cell::text(format!("await {state}")),
        _ => Cell::text("running"),
    });
    let unread = frame.unread.as_deref().map(Cell::unknown);
    let source = frame.file.as_ref().map(|file| Cell::new(Value::Source(file.clone(), frame.line)));
    let address = Cell::new(Value::Object(frame.address)).tone(Tone::Dim);
    let cells = [Some(address), Some(name), state, unread, source].into_iter().flatten().collect();
    Row { cells, subject: Some(Subject::Object(frame.address)) }
}

fn table(methods: &[MethodRow]) -> Body {
    let columns = vec![
        Column::right("Count"),
        Column::wide("Method", 3).rank(1),
        Column::wide("Type", 2).rank(3),
        Column::left("Id").rank(4),
    ];
    let row = |method: &MethodRow| {
        let unread = || Cell::unknown("it cannot be read");
        Row::new(vec![
            Cell::new(Value::Count(method.count)),
            method.method.clone().map_or(Cell::NONE, |name| Cell::new(Value::Function(name))),
            method.type_name.clone().map_or_else(unread, |name| Cell::new(Value::Type(name))),
            Cell::new(Value::Addr(method.id)).tone(Tone::Dim),
        ])
    };
    Body::Table(Table::new(columns, methods.iter().map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    fn words(state: Option<i32>, unread: Option<&str>) -> Vec<Cell> {
        let own = FrameRow {
            address: Addr(0x10),
            type_name: Some("A".into()),
            method: Some("A.B".into()),
            state,
            status: None,
            file: None,
            line: None,
            fields: None,
            unread: unread.map(str::to_owned),
        };
        frame(&own).cells.split_off(2)
    }

    #[test]
    fn what_cannot_be_read_of_a_method_is_shown_beside_its_state() {
        let why = || Cell::unknown("not in the dump");
        assert_eq!(words(Some(2), Some("not in the dump")), [Cell::text("await 2"), why()]);
        assert_eq!(words(Some(-1), Some("not in the dump")), [Cell::text("running"), why()]);
        assert_eq!(words(None, Some("not in the dump")), [why()]);
        assert_eq!(words(Some(0), None), [Cell::text("await 0")]);
        assert!(words(None, None).is_empty());
    }
}
