//! Arrays from one element on, values without an object of their own, delegates: what is asked of .NET alone.

use std::sync::Arc;

use super::delegates::Called;
use super::values::Values;
use super::{Instance, Window};
use crate::error::Error;
use crate::heap::{Contents, HeapObject};
use crate::model::{Addr, Gap, Known, Value};
use crate::runtimes::coreclr::types::ClassKind;

/// Most elements of one answer.
const MAX_ELEMENTS: u64 = 2000;

/// A value with its type.
pub struct OpenedValue {
    /// Where it is.
    pub address: Addr,
    /// Its type's name.
    pub name: Known<Arc<str>>,
    /// Its type's method table.
    pub table: Addr,
    /// Its bytes.
    pub bytes: u64,
    /// What is in it.
    pub contents: Contents,
}

/// An array, from one element on.
pub struct OpenedArray {
    /// The array, with these elements.
    pub array: OpenedValue,
    /// How many elements it has.
    pub len: u64,
    /// Of each dimension how many, and the index of the first; one for an array that is indexed from 0.
    pub bounds: Vec<(u32, i32)>,
    /// Objects and structures that its elements are or refer to, where that was asked for.
    pub details: Vec<OpenedValue>,
}

/// What a delegate calls.
pub struct DelegateTarget {
    /// The object on which the method is called; `None` for a static one.
    pub target: Option<Addr>,
    /// `Shop.Program.OnClosed(System.Object)`
    pub method: Known<Arc<str>>,
}

fn failed(gap: Gap) -> Error {
    Error::Failed(gap.to_string())
}

impl Values<'_> {
    /// The array at an address, from one element on. `with_details`: with what its elements are made of.
    pub(in crate::runtimes::coreclr) fn open_array(
        &self,
        at: Addr,
        start: u64,
        most: Option<u64>,
        with_details: bool,
    ) -> Result<OpenedArray, Error> {
        let object = self.types.object(at).map_err(failed)?;
        let ClassKind::Array { of, rank } = object.class.kind else {
            return Err(Error::Failed(format!("{at} is no array: it is {}", object.name())));
        };
        let len = u64::from(object.len().map_err(failed)?);
        let bounds = match rank {
            None => vec![(object.len().map_err(failed)?, 0)],
            Some(rank) => object.bounds(rank).map_err(failed)?,
        };
        let window = Window { start, most: most.unwrap_or(MAX_ELEMENTS).min(MAX_ELEMENTS) };
        let mut array = self.alone(&object).map_err(failed)?;
        array.contents.contained = self.contained(&object, window);
        let elements = array.contents.contained.iter().flat_map(Value::elements);
        let elements = elements.map(|element| element.keyed().map_or(element, |(_, value)| value));
        let detail = |element: &Value| match (element.address(), element.location) {
            (Some(to), _) => self.types.object(to).and_then(|object| self.alone(&object)).ok(),
            (None, Some(at)) => self.structure_at(of, at).ok(),
            (None, None) => None,
        };
        let details = if with_details { elements.filter_map(detail).collect() } else { Vec::new() };
        Ok(OpenedArray { array, len, bounds, details })
    }

    /// A value of a type at an address.
    pub(in crate::runtimes::coreclr) fn open_structure(&self, table: Addr, at: Addr) -> Result<OpenedValue, Error> {
        self.structure_at(table, at).map_err(failed)
    }

    fn structure_at(&self, table: Addr, at: Addr) -> Known<OpenedValue> {
        let instance = self.types.structure(table, at)?;
        if matches!(instance.class.kind, ClassKind::Array { .. } | ClassKind::Text | ClassKind::Reference) {
            return Err(Gap::Unsupported(format!("values of {}, which is no value type", instance.name())));
        }
        let mut value = self.alone(&instance)?;
        value.contents.value = self.fields_of(&instance);
        Ok(value)
    }

    /// A value with nothing but its fields; fails where its size cannot be read.
    fn alone(&self, instance: &Instance<'_>) -> Known<OpenedValue> {
        let class = &instance.class;
        // An object has 8 bytes before its first field, and 8 before those.
        let is_object = instance.is_object();
        let fixed = u64::from(class.base_size).saturating_sub(if is_object { 0 } else { 16 });
        let components = if class.component == 0 { 0 } else { instance.len()? };
        let bytes = u64::from(components).saturating_mul(class.component.into()).saturating_add(fixed);
        let object = HeapObject { address: instance.at, of_type: 0, bytes };
        let mut contents = if is_object { self.contents(object, &[]) } else { Contents::of_words(self.words(object)) };
        contents.statics.clear();
        Ok(OpenedValue { address: instance.at, name: class.name.clone(), table: class.table, bytes, contents })
    }

    /// What a delegate calls, and how many more there are.
    pub(in crate::runtimes::coreclr) fn open_delegate(&self, at: Addr) -> Result<(Vec<DelegateTarget>, u64), Error> {
        let object = self.types.object(at).map_err(failed)?;
        if !object.is_a("System.Delegate") {
            return Err(Error::Failed(format!("{at} is no delegate: it is {}", object.name())));
        }
        let (called, left_out) = self.targets(&object).map_err(failed)?;
        let target =
            |called: Called| DelegateTarget { target: Some(called.on).filter(|on| on.0 != 0), method: called.method };
        Ok((called.into_iter().map(target).collect(), left_out))
    }
}
