//! What a runtime was told to run, from the process's arguments: the name by which people know it.

use super::process::Process;
use crate::model::RuntimeKind;

/// Java's options that take the next argument as their value.
// Source: java(1), "Standard Options for Java", of JDK 17 and 21.
const JAVA_VALUED: &[&str] = &[
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-exports",
    "--add-opens",
    "--add-reads",
    "--limit-modules",
    "--patch-module",
    "--source",
    "--enable-native-access",
    "-d",
    "--describe-module",
];
/// Node's.
// Source: node(1) of Node 20.
const NODE_VALUED: &[&str] = &[
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
    "--title",
    "--input-type",
    "--icu-data-dir",
    "--openssl-config",
    "--redirect-warnings",
    "--trace-event-categories",
    "--trace-event-file-pattern",
];
/// Python's single letters that take the next argument as their value.
// Source: python(1) of CPython 3.11.
const PYTHON_VALUED: &[&str] = &["-W", "-X", "--check-hash-based-pycs"];
/// The host's, before the assembly.
// Source: dotnet(1), "Runtime options".
const DOTNET_VALUED: &[&str] = &[
    "--additionalprobingpath",
    "--additional-deps",
    "--depsfile",
    "--fx-version",
    "--roll-forward",
    "--runtimeconfig",
    "--roll-forward-on-no-candidate-fx",
];

/// The entry assembly, class, jar, module or script.
pub(super) fn entry(kind: RuntimeKind, arguments: &[String]) -> Option<String> {
    let (program, rest) = arguments.split_first()?;
    match kind {
        RuntimeKind::Jvm => java(rest),
        RuntimeKind::Node => first(rest, NODE_VALUED).filter(|_| !has(rest, &["-e", "--eval", "-p", "--print"])),
        RuntimeKind::Python => python(rest),
        RuntimeKind::Dotnet => dotnet(program, rest),
        _ => None,
    }
}

fn has(rest: &[String], options: &[&str]) -> bool {
    rest.iter().any(|argument| options.contains(&argument.as_str()))
}

/// The first argument that is neither an option nor the value of one.
fn first(rest: &[String], valued: &[&str]) -> Option<String> {
    let mut is_value = false;
    let found = rest.iter().find(|argument| {
        let is_option = argument.starts_with('-') && argument.len() > 1;
        let is_found = !is_value && !is_option;
        is_value = is_option && valued.contains(&argument.as_str());
        is_found
    });
    found.filter(|argument| *argument != "-").cloned()
}

fn java(rest: &[String]) -> Option<String> {
    let mut left = rest.iter();
    while let Some(argument) = left.next() {
        match argument.as_str() {
            "-jar" | "-m" | "--module" => return left.next().cloned(),
            option if JAVA_VALUED.contains(&option) => {
                left.next();
            }
            option if option.starts_with("--module=") => {
                return option.split_once('=').map(|(_, name)| name.to_owned());
            }
            option if option.starts_with('-') || option.starts_with('@') => {}
            class => return Some(class.to_owned()),
        }
    }
    None
}

fn python(rest: &[String]) -> Option<String> {
    let mut left = rest.iter();
    while let Some(argument) = left.next() {
        match argument.as_str() {
            "-m" => return left.next().cloned(),
            "-c" | "-" => return None,
            option if PYTHON_VALUED.contains(&option) => {
                left.next();
            }
            option if option.starts_with('-') => {}
            script => return Some(script.to_owned()),
        }
    }
    None
}

/// `dotnet App.dll`, `dotnet exec App.dll`; a program of its own is its own entry.
fn dotnet(program: &str, rest: &[String]) -> Option<String> {
    if leaf(program) != "dotnet" {
        return None;
    }
    let rest = rest.strip_prefix(&["exec".to_owned()]).unwrap_or(rest);
    first(rest, DOTNET_VALUED)
}

/// The last component of a path.
pub(super) fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Endings that people leave out when they name a program.
const ENDINGS: &[&str] = &[".dll", ".jar", ".js", ".mjs", ".cjs", ".py"];

/// Whether people may call the process by this name: the kernel's name, the executable's, or that of the entry, with or
/// without its folder, ending or package.
pub(super) fn answers_to(process: &Process, name: &str) -> bool {
    if process.name == name || process.executable.as_deref().map(leaf) == Some(name) {
        return true;
    }
    let Some(entry) = process.entry.as_deref() else { return false };
    let file = leaf(entry);
    let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending));
    // A Java class without its package; `module/class` was cut at the slash above.
    let simple = (entry == file && stem.is_none()).then(|| entry.rsplit('.').next()).flatten();
    [Some(entry), Some(file), stem, simple].contains(&Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: RuntimeKind, line: &str) -> Option<String> {
        entry(kind, &line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_entry_stands_behind_the_runtimes_own_options() {
        for (kind, line, expected) in [
            (RuntimeKind::Jvm, "java -Xmx1g -cp a.jar:b.jar shop.Main --port 1", Some("shop.Main")),
            (RuntimeKind::Jvm, "/usr/bin/java -Dx=y -jar /srv/shop.jar serve", Some("/srv/shop.jar")),
            (RuntimeKind::Jvm, "java -p mods -m shop/shop.Main", Some("shop/shop.Main")),
            (RuntimeKind::Jvm, "java -version", None),
            (RuntimeKind::Node, "node --max-old-space-size=100 -r ./hook.js server.js x", Some("server.js")),
            (RuntimeKind::Node, "node -e setTimeout()", None),
            (RuntimeKind::Python, "python3 -u -X dev app.py -c x", Some("app.py")),
            (RuntimeKind::Python, "python3 -m http.server", Some("http.server")),
            (RuntimeKind::Python, "python3 -c pass", None),
            (RuntimeKind::Dotnet, "dotnet --roll-forward Major Shop.dll serve", Some("Shop.dll")),
            (RuntimeKind::Dotnet, "/usr/bin/dotnet exec --depsfile x Shop.dll", Some("Shop.dll")),
            (RuntimeKind::Dotnet, "/app/Shop serve", None),
            (RuntimeKind::Native, "ls x", None),
        ] {
            assert_eq!(of(kind, line).as_deref(), expected, "{line}");
        }
        assert_eq!(entry(RuntimeKind::Jvm, &[]), None);
    }
}
