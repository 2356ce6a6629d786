//! Go: what ended a Go program, in its runtime's own words.
//!
//! Input: a scene whose target holds Go's table of functions. Output: the fatal panic with its text, a fatal error of the runtime, or the
//! signal that the runtime's handler took, each with the stack of the goroutine. Layouts: docs/layouts/go.md. Left out: goroutines that
//! no thread runs, channels, mutexes of package sync.

mod end;
mod goroutine;
mod image;
mod kinds;
mod panic;
mod signal;
mod stack;
mod text;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Exception, Partial};
use crate::target::{Module, Target};
use crate::unwind::Unwinder;

use self::image::Image;
use super::{Runtime, RuntimeKind, Scene};

/// How Go is recognised: by its table of functions, which every program and every library of it needs.
pub const KIND: RuntimeKind =
    RuntimeKind { name: "go", detect: |target| Ok(Go::of(target).map(|go| Box::new(go) as _)) };

/// The Go runtime of a target.
pub struct Go {
    image: Image,
}

impl Go {
    fn of(target: &Target) -> Option<Go> {
        let is_go = |module: &&Module| module.elf().is_some_and(|elf| elf.go_table().is_some());
        target.modules.iter().find(is_go).map(|module| Go { image: Image::of(target, module) })
    }
}

impl Runtime for Go {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn exceptions(&self, scene: &Scene<'_>, unwinder: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error> {
        Ok(Partial::whole(end::end(scene, &self.image, unwinder, job).into_iter().collect()))
    }
}
