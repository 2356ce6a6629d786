//! A real program's file with bytes changed at random, by a fixed seed: what no hand-written case thought of.

use std::process::Command;

use crate::ask_everything;

/// How many files are made. Nightly runs set `DUMPSCOPE_MUTANTS` to more.
fn count() -> usize {
    std::env::var("DUMPSCOPE_MUTANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// Xorshift64 (Marsaglia, 2003): the same sequence everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// A library without the C library, so that nearly all of its bytes are tables.
fn program(options: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/small.c");
    let output = directory.path().join("small.so");
    let status = Command::new("gcc")
        .args(["-shared", "-fPIC", "-nostdlib", "-g", "-O2", "-Wl,-z,noseparate-code", source, "-o"])
        .arg(&output)
        .args(options)
        .status()
        .unwrap_or_else(|error| panic!("cannot run gcc: {error}; install it with: apt-get install gcc"));
    assert!(status.success());
    std::fs::read(output).unwrap()
}

#[test]
fn no_mutant_of_a_real_file_panics_or_hangs() {
    let mut random = Random(0x5eed_0001);
    for options in [&["-gdwarf-5"][..], &["-gdwarf-4"], &["-gdwarf-5", "-gz=zlib"]] {
        let whole = program(options);
        let good = ask_everything(whole.clone());
        assert!(good > 50, "only {good} answers from the undamaged file");
        let mut survived = 0;
        for _ in 0..count() {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes[at] = random.next() as u8,
                    1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    2 => bytes[at] ^= 1 << random.below(8),
                    _ => {
                        let end = bytes.len().min(at + 8);
                        bytes[at..end].fill(0xff);
                    }
                }
            }
            survived += usize::from(ask_everything(bytes) > 1);
        }
        assert!(survived * 10 > count() * 9, "{survived} of {} files gave any answer", count());
    }
}

#[test]
fn a_real_file_cut_at_any_length_does_no_harm() {
    let whole = program(&["-gdwarf-5"]);
    for length in (0..whole.len()).step_by(37) {
        ask_everything(whole[..length].to_vec());
    }
}
