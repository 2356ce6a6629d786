//! .NET, where there is one: Debian has none, so tests that need it are marked to be ignored, and `tests/run` runs them where it is at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Started, repository, said};

/// The `dotnet` of `$DUMPSCOPE_DOTNET`, else of PATH.
#[derive(Debug)]
pub struct Dotnet {
    host: PathBuf,
    /// Of each version of Microsoft.NETCore.App, in the host's order: the version and its folder.
    pub runtimes: Vec<(String, PathBuf)>,
}

impl Dotnet {
    /// Finds it; panics where there is none.
    pub fn find() -> Dotnet {
        let host = host().unwrap_or_else(|| panic!("no .NET; name one with DUMPSCOPE_DOTNET=/path/to/dotnet"));
        let list = said(host.to_str().expect("plain"), &["--list-runtimes"], "dotnet-runtime-8.0");
        // `Microsoft.NETCore.App 8.0.33 [/usr/share/dotnet/shared/Microsoft.NETCore.App]`.
        let runtime = |line: &str| {
            let (version, folder) = line.strip_prefix("Microsoft.NETCore.App ")?.split_once(' ')?;
            let folder = folder.strip_prefix('[')?.strip_suffix(']')?;
            Some((version.to_owned(), Path::new(folder).join(version)))
        };
        let runtimes: Vec<(String, PathBuf)> = list.lines().filter_map(runtime).collect();
        assert!(!runtimes.is_empty(), "{list}");
        Dotnet { host, runtimes }
    }

    /// A command that runs a program, an absolute path, on one version of the runtime.
    pub fn command(&self, version: &str, program: &Path) -> Command {
        let mut command = Command::new(&self.host);
        command.args(["exec", "--fx-version", version]).arg(program).env("DOTNET_CLI_TELEMETRY_OPTOUT", "1");
        command
    }

    /// Starts a fixture (`Shop` of `fixtures/dotnet-shop`) on one version, without threads of the runtime that come and go.
    pub fn start(&self, version: &str, fixture: &str, name: &str) -> Started {
        let program = repository().join(format!("fixtures/{fixture}/{name}.dll"));
        let mut command = self.command(version, &program);
        let (process, printed) = Started::ready(command.env("DOTNET_TieredCompilation", "0"), "dotnet-runtime-8.0");
        assert_eq!(printed, version);
        process
    }

    /// Starts a fixture of ASP.NET Core on a major version, 9 or 10, of which `folder` keeps what it needs. Of 9 the assemblies of a published
    /// program are taken, which `tests/install.sh` fetches. Its first line is the version of the runtime, which is returned with its `createdump`.
    pub fn start_web(&self, major: u32, fixture: &str, name: &str, folder: &Path) -> (Started, PathBuf) {
        let prefix = format!("{major}.");
        let found = self.runtimes.iter().find(|(version, _)| version.starts_with(&prefix));
        let (version, runtime) = found.unwrap_or_else(|| panic!("no .NET {major}"));
        let mut program = repository().join(format!("fixtures/{fixture}/{name}.dll"));
        if major == 9 {
            program = with_assemblies_of_9(&program, version, folder);
        }
        let mut command = Command::new(&self.host);
        command.arg("exec").arg(program).env("DOTNET_CLI_TELEMETRY_OPTOUT", "1");
        let (process, printed) = Started::ready(&mut command, &format!("aspnetcore-runtime-{major}.0"));
        assert_eq!(&printed, version);
        (process, runtime.join("createdump"))
    }

    /// What ClrMD, the library beneath dotnet-dump, reads from a dump: `question` is `threads`, `heap` or `locks`. Its program is named by
    /// `$DUMPSCOPE_CLRMD`; panics where that is not set. Tests that need it have `clrmd` in their names, by which `tests/run` leaves them out.
    pub fn clrmd(&self, question: &str, dump: &Path) -> serde_json::Value {
        self.clrmd_with(question, dump, &[])
    }

    /// The same with flags: `--stacks` adds what stacks hold to `roots`.
    pub fn clrmd_with(&self, question: &str, dump: &Path, flags: &[&str]) -> serde_json::Value {
        let program = std::env::var_os("DUMPSCOPE_CLRMD");
        let program = program.expect("no reader of .NET dumps; name one with DUMPSCOPE_CLRMD=/path/to/truth.dll");
        let output = Command::new(&self.host)
            .arg(program)
            .arg(question)
            .arg(dump)
            .args(flags)
            .output()
            .expect("the host was run before");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ClrMD, {question} of {}: {error}", dump.display());
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }
}

fn host() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("DUMPSCOPE_DOTNET") {
        let named = PathBuf::from(named);
        assert!(named.exists(), "DUMPSCOPE_DOTNET names {}, which is not there", named.display());
        return Some(named);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("dotnet")).find(|file| file.exists())
}

/// A program beside the assemblies of ASP.NET Core 9, where the host looks for them.
fn with_assemblies_of_9(program: &Path, version: &str, folder: &Path) -> PathBuf {
    let published = repository().join("target/single-file-hosts/9.0.7-folder/dist");
    let files = std::fs::read_dir(&published)
        .unwrap_or_else(|why| panic!("{}: {why}; `tests/run dotnet_single` fetches it by npm", published.display()));
    // What Microsoft.AspNetCore.App has and Microsoft.NETCore.App has not.
    const NAMES: [&str; 7] = [
        "Microsoft.AspNetCore.",
        "Microsoft.Extensions.",
        "Microsoft.Net.",
        "Microsoft.JSInterop.",
        "System.Diagnostics.EventLog.",
        "System.Security.Cryptography.",
        "System.Threading.RateLimiting.",
    ];
    for file in files.flatten() {
        let name = file.file_name().into_string().expect("plain");
        if NAMES.iter().any(|beginning| name.starts_with(beginning)) {
            std::os::unix::fs::symlink(file.path(), folder.join(name)).expect("a temporary folder");
        }
    }
    let own = folder.join(program.file_name().expect("a file"));
    std::fs::copy(program, &own).expect("it is there");
    let framework = serde_json::json!({ "name": "Microsoft.NETCore.App", "version": version });
    let configuration = serde_json::json!({ "runtimeOptions": { "tfm": "net9.0", "framework": framework } });
    std::fs::write(own.with_extension("runtimeconfig.json"), configuration.to_string()).expect("a temporary folder");
    own
}
