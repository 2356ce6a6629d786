//! Native code: C, C++ and Rust on glibc or musl. Every process has it.

pub mod exceptions;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Exception, Lock, Partial, Thread};
use crate::unwind::Unwinder;

use super::{Runtime, Scene};

/// The native runtime of a target.
pub struct Native;

impl Runtime for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn threads(&self, _scene: &Scene<'_>, _job: &Job) -> Result<Partial<Vec<Thread>>, Error> {
        Ok(Partial::default())
    }

    fn locks(&self, _scene: &Scene<'_>, _job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        Ok(Partial::default())
    }

    fn exceptions(&self, scene: &Scene<'_>, unwinder: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error> {
        exceptions::exceptions(scene, unwinder, job)
    }
}
