//! Names of every kind that a Rust program gives its functions.

mod pool {
    pub trait Job {
        fn run(&self, x: u64) -> u64;
    }

    pub struct Worker<T> {
        pub item: T,
    }

    impl<T: Copy + Into<u64>> Job for Worker<T> {
        #[inline(never)]
        fn run(&self, x: u64) -> u64 {
            inner(x).wrapping_add(self.item.into())
        }
    }

    #[inline(always)]
    fn inner(x: u64) -> u64 {
        std::hint::black_box(outlined(x) + 1)
    }

    #[inline(never)]
    fn outlined(x: u64) -> u64 {
        std::hint::black_box(x * 3)
    }
}

use pool::Job;

#[inline(never)]
fn apply(f: &dyn Fn(u64) -> u64, x: u64) -> u64 {
    f(x)
}

fn main() {
    let worker = pool::Worker { item: 7u32 };
    let sum = worker.run(std::env::args().count() as u64);
    println!("{}", apply(&|x| worker.run(x) + 1, sum));
}
