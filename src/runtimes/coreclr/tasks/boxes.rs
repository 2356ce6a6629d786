//! The asynchronous methods of boxes.

use super::gather::Found;
use super::links::Links;
use super::method;
use crate::model::Addr;
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::types::Types;

/// Tells them; what it learns of classes it keeps.
pub(in crate::runtimes::coreclr) struct Boxes<'a>(Links<'a>);

impl<'a> Boxes<'a> {
    pub(in crate::runtimes::coreclr) fn of(types: Types<'a>, segments: &'a Segments) -> Boxes<'a> {
        Boxes(Links::of(types, segments))
    }

    /// The method whose box an object is; `None` for other objects.
    pub(in crate::runtimes::coreclr) fn method_at(&self, at: Addr) -> Option<String> {
        let Boxes(links) = self;
        let shape = links.shape_of(at).ok()?;
        let machine = links.at(&Found { at, shape, status: None }).machine?;
        method::method_of(links.types.class(machine).ok()?.name.as_deref().ok()?)
    }
}
