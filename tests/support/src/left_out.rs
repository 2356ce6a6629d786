//! Tests that cannot be run everywhere, and are counted where they are not.

use std::io::Write;

/// Says that a test is left out since this machine has not what it needs, in the file that `$DUMPSCOPE_LEFT_OUT` names: `tests/run`
/// counts its lines in its last one. Panics where it is not set, since nobody would learn of it.
///
/// Only for what cannot be installed. A tool that is missing is a failure.
#[track_caller]
pub fn left_out(what: &str) {
    let file = std::env::var_os("DUMPSCOPE_LEFT_OUT");
    let file = file.unwrap_or_else(|| panic!("cannot be tested here (tests/run leaves it out, and counts it): {what}"));
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(&file);
    // One write: tests run at the same time.
    let written = opened.and_then(|mut opened| opened.write_all(format!("{what}\n").as_bytes()));
    written.unwrap_or_else(|why| panic!("{}: {why}", file.display()));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// This very test program, as another process with an environment of its own.
    fn leave_out(file: Option<&std::path::Path>) -> bool {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "left_out::tests::leaves_one_out", "--ignored"]).env_remove("DUMPSCOPE_LEFT_OUT");
        command.envs(file.map(|file| ("DUMPSCOPE_LEFT_OUT", file)));
        command.output().expect("it runs").status.success()
    }

    #[test]
    #[ignore = "started by the test below"]
    fn leaves_one_out() {
        super::left_out("what is not there");
    }

    #[test]
    fn what_is_left_out_is_counted_or_fails() {
        let file = std::env::temp_dir().join(format!("dumpscope-left-out-{}", std::process::id()));
        assert!(leave_out(Some(&file)) && leave_out(Some(&file)));
        let counted = std::fs::read_to_string(&file).expect("it was written");
        std::fs::remove_file(&file).expect("ours");
        assert_eq!(counted, "what is not there\nwhat is not there\n");
        assert!(!leave_out(None), "where nobody counts it fails");
    }
}
