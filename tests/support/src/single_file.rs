//! Programs of .NET in a single file: a published one's host and framework with an assembly of ours instead of its own.
//!
//! The host holds the runtime; assemblies stand behind it as they are, with a list of them at the end. Its parts are those of dotnet/runtime
//! src/native/corehost/bundle (header.cpp, file_entry.cpp), docs/design/features/single-file/bundler.md.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::repository;

/// What stands behind the place of the list in the host. Source: src/native/corehost/apphost/bundle_marker.cpp.
const SIGNATURE: [u8; 32] = [
    0x8b, 0x12, 0x02, 0xb9, 0x6a, 0x61, 0x20, 0x38, 0x72, 0x7b, 0x93, 0x02, 0x14, 0xd7, 0xa0, 0x32, 0x13, 0xf5, 0xb9,
    0xe6, 0xef, 0xae, 0x33, 0x18, 0xee, 0x3b, 0x2d, 0xce, 0x24, 0xb3, 0x6a, 0xae,
];
/// Kinds of files. Source: file_type.h.
const ASSEMBLY: u8 = 1;
const DEPENDENCIES: u8 = 3;
const CONFIGURATION: u8 = 4;
/// Where assemblies may begin, for the host to map them.
const ALIGNMENT: usize = 4096;
/// The framework's place in a list of dependencies.
const FRAMEWORK: &str = "Microsoft.NETCore.App";

/// How assemblies are kept in a single file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Where the process can map them.
    AsItIs,
    /// By `EnableCompressionInSingleFile`.
    Compressed,
}

/// A published program whose host carries a whole runtime.
#[derive(Debug)]
pub struct SingleFileHost {
    /// The runtime's, `8.0.30`.
    pub version: &'static str,
    program: PathBuf,
    /// A folder with the framework of the same build, where that of the program lacks what its own did not need.
    framework: Option<PathBuf>,
}

impl SingleFileHost {
    /// Those that `tests/install.sh` fetches; panics where they are not there.
    pub fn all() -> Vec<SingleFileHost> {
        let found = |path: &str| {
            let path = repository().join("target/single-file-hosts").join(path);
            assert!(path.exists(), "no {}; `tests/run dotnet_single` fetches it by npm", path.display());
            path
        };
        let host = |version, program: &str, framework: Option<&str>| SingleFileHost {
            version,
            program: found(&format!("{version}/{program}")),
            framework: framework.map(found),
        };
        vec![
            host("8.0.30", "Sarif.Multitool", None),
            host("9.0.7", "dist/azmcp", Some("9.0.7-folder/dist")),
            host("10.0.0", "plugins/dosai/dosai-linux-amd64", None),
        ]
    }

    /// Makes a program of `fixtures/FIXTURE/NAME.dll`, in a folder, which is called as the assembly is.
    pub fn program(&self, fixture: &str, name: &str, stored: Stored, folder: &Path) -> PathBuf {
        let published = std::fs::read(&self.program).expect("it is there");
        let assembly = repository().join(format!("fixtures/{fixture}/{name}.dll"));
        let assembly = std::fs::read(&assembly).unwrap_or_else(|why| panic!("{}: {why}", assembly.display()));
        let bundle = Bundle::read(&published);
        let framework = match &self.framework {
            Some(folder) => Framework::of_folder(folder),
            None => bundle.framework(),
        };
        let made = bundle.with_program(name, &assembly, &framework, stored);
        let (written, program) = (folder.join(format!("{name}.made")), folder.join(name));
        std::fs::write(&written, made).expect("a temporary folder");
        // Another process's copy: see `copy_program`.
        crate::copy_program(&written, &program);
        std::fs::remove_file(&written).expect("ours");
        crate::said("chmod", &["755", program.to_str().expect("plain")], "coreutils");
        program
    }
}

/// A file in a single file. Compressed ones are not read.
struct Entry<'b> {
    kind: u8,
    path: String,
    content: &'b [u8],
}

/// A published program, taken apart.
struct Bundle<'b> {
    /// The executable without what is behind it.
    host: &'b [u8],
    flags: u64,
    entries: Vec<Entry<'b>>,
}

/// The assemblies of Microsoft.NETCore.App.
struct Framework {
    /// What it is called in lists of dependencies.
    library: String,
    /// What stands there of it, of `targets` and `libraries`.
    target: Value,
    listed: Value,
    assemblies: Vec<(String, Vec<u8>)>,
}

impl Framework {
    /// What a list of dependencies names of it, each assembly as it is `read`.
    fn listed(dependencies: &Value, read: impl Fn(&str) -> Vec<u8>) -> Framework {
        let target = dependencies["runtimeTarget"]["name"].as_str().expect("a target");
        let (library, framework) = object(&dependencies["targets"][target])
            .find(|(library, _)| library.contains(FRAMEWORK))
            .expect("it carries the framework");
        let names = object(&framework["runtime"]).filter_map(|(path, _)| path.rsplit('/').next());
        let assemblies = names.map(|name| (name.to_owned(), read(name))).collect();
        Framework {
            library: library.to_owned(),
            target: json!({ "runtime": &framework["runtime"] }),
            listed: dependencies["libraries"][library].clone(),
            assemblies,
        }
    }

    /// That of a program which was published as a folder.
    fn of_folder(folder: &Path) -> Framework {
        let read = |name: &str| {
            let file = folder.join(name);
            std::fs::read(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
        };
        Framework::listed(&serde_json::from_slice(&read("azmcp.deps.json")).expect("it is JSON"), read)
    }
}

/// Reads the list of files one field after another.
struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    fn bytes(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes(4).try_into().expect("four"))
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().expect("eight"))
    }

    fn place(&mut self) -> usize {
        usize::try_from(self.u64()).expect("a place in memory")
    }

    /// As `BinaryWriter.Write(string)` writes it: its length in groups of seven bits, the lowest first.
    fn text(&mut self) -> String {
        let mut length = 0;
        for shift in (0..28).step_by(7) {
            let byte = self.bytes(1)[0];
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        String::from_utf8(self.bytes(length).to_vec()).expect("UTF-8")
    }
}

impl<'b> Bundle<'b> {
    fn read(file: &'b [u8]) -> Bundle<'b> {
        let at = position(file, &SIGNATURE).expect("it is the host of a single file");
        let header = Fields { rest: &file[at - 8..] }.place();
        let mut fields = Fields { rest: &file[header..] };
        let (major, _minor, count) = (fields.u32(), fields.u32(), fields.u32());
        assert_eq!(major, 6, "the format's version since .NET 6");
        let _id = fields.text();
        // Where two of the files are, which the list tells too.
        fields.bytes(32);
        let flags = fields.u64();
        let mut host = file.len();
        let entries = (0..count).map(|_| {
            let (from, size, compressed) = (fields.place(), fields.place(), fields.u64());
            assert_eq!(compressed, 0, "stored as it is");
            host = host.min(from);
            let kind = fields.bytes(1)[0];
            Entry { kind, path: fields.text(), content: &file[from..from + size] }
        });
        let entries = entries.collect();
        Bundle { host: &file[..host], flags, entries }
    }

    fn of_kind(&self, kind: u8) -> (&Entry<'b>, Value) {
        let entry = self.entries.iter().find(|entry| entry.kind == kind).expect("a published program has one");
        (entry, serde_json::from_slice(entry.content).expect("it is JSON"))
    }

    fn framework(&self) -> Framework {
        let (_, dependencies) = self.of_kind(DEPENDENCIES);
        Framework::listed(&dependencies, |name| {
            let is_it = |entry: &&Entry<'_>| entry.kind == ASSEMBLY && entry.path == name;
            self.entries.iter().find(is_it).unwrap_or_else(|| panic!("no {name}")).content.to_vec()
        })
    }

    /// The same host with another program.
    fn with_program(&self, name: &str, assembly: &[u8], framework: &Framework, stored: Stored) -> Vec<u8> {
        let (dependencies, listed) = self.of_kind(DEPENDENCIES);
        let (_, configured) = self.of_kind(CONFIGURATION);
        let target = listed["runtimeTarget"]["name"].as_str().expect("a target");
        let (program, library) = (format!("{name}/1.0.0"), &framework.library);
        let dependencies_of_ours = json!({
            "runtimeTarget": { "name": target, "signature": "" },
            "compilationOptions": {},
            "targets": { target: { &program: { "runtime": { format!("{name}.dll"): {} } }, library: &framework.target } },
            "libraries": {
                &program: { "type": "project", "serviceable": false, "sha512": "" },
                library: &framework.listed,
            },
        });
        let options = &configured["runtimeOptions"];
        let included = options["includedFrameworks"].as_array().expect("it is self-contained").iter();
        let included: Vec<&Value> = included.filter(|framework| framework["name"] == FRAMEWORK).collect();
        let configuration = json!({ "runtimeOptions": {
            "tfm": &options["tfm"],
            "includedFrameworks": included,
            // Else it wants ICU.
            "configProperties": { "System.Globalization.Invariant": true },
        } });
        let texts = [dependencies_of_ours.to_string(), configuration.to_string()];
        let mut entries = vec![Entry { kind: ASSEMBLY, path: format!("{name}.dll"), content: assembly }];
        let kept = framework.assemblies.iter();
        entries.extend(kept.map(|(path, content)| Entry { kind: ASSEMBLY, path: path.clone(), content }));
        for (kind, end, text) in
            [(DEPENDENCIES, "deps.json", &texts[0]), (CONFIGURATION, "runtimeconfig.json", &texts[1])]
        {
            entries.push(Entry { kind, path: format!("{name}.{end}"), content: text.as_bytes() });
        }
        let before = dependencies.path.strip_suffix(".deps.json").expect("called for its program");
        self.host_of(&format!("{before}.dll"), &format!("{name}.dll"), &entries, stored)
    }

    /// The host with these files, where it looks for one assembly instead of another.
    fn host_of(&self, before: &str, assembly: &str, entries: &[Entry<'_>], stored: Stored) -> Vec<u8> {
        let mut file = self.host.to_vec();
        // Of each file the bytes that it has here, where they are compressed.
        let written: Vec<(&Entry<'_>, u64, u64)> = entries
            .iter()
            .map(|entry| {
                file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
                let at = file.len() as u64;
                if entry.kind != ASSEMBLY || stored == Stored::AsItIs {
                    file.extend(entry.content);
                    return (entry, at, 0);
                }
                let compressed = deflated(entry.content);
                file.extend(&compressed);
                (entry, at, compressed.len() as u64)
            })
            .collect();
        let header = (file.len() as u64).to_le_bytes();
        let number = u32::try_from(written.len()).expect("few");
        file.extend([6, 0, number].into_iter().flat_map(u32::to_le_bytes));
        write_text(&mut file, "a fixture of dumpscope");
        for kind in [DEPENDENCIES, CONFIGURATION] {
            let (entry, at, _) = written.iter().find(|(entry, ..)| entry.kind == kind).expect("both are there");
            file.extend([*at, entry.content.len() as u64].into_iter().flat_map(u64::to_le_bytes));
        }
        file.extend(self.flags.to_le_bytes());
        for (entry, at, compressed) in &written {
            file.extend([*at, entry.content.len() as u64, *compressed].into_iter().flat_map(u64::to_le_bytes));
            file.push(entry.kind);
            write_text(&mut file, &entry.path);
        }
        let place = position(&file, &SIGNATURE).expect("it was found before");
        file[place - 8..place].copy_from_slice(&header);
        // 1,024 bytes for the name. Source: src/native/corehost/corehost.cpp, EMBED_SZ.
        let place = position(&file, format!("{before}\0").as_bytes()).expect("the host names its program");
        file[place..place + before.len()].fill(0);
        file[place..place + assembly.len()].copy_from_slice(assembly.as_bytes());
        file
    }
}

/// Without a head or sum. Source: dotnet/runtime src/coreclr/vm/peimagelayout.cpp, FlatImageLayout::LoadConverted.
fn deflated(content: &[u8]) -> Vec<u8> {
    let mut written = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    written.write_all(content).expect("into memory");
    written.finish().expect("into memory")
}

fn write_text(file: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 0x80).expect("one group of bits");
    file.push(length);
    file.extend(text.as_bytes());
}

fn object(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().expect("an object").iter().map(|(key, value)| (key.as_str(), value))
}

fn position(file: &[u8], wanted: &[u8]) -> Option<usize> {
    // A window for each byte is slow without optimisation: most begin otherwise.
    let first = *wanted.first()?;
    let mut at = 0;
    loop {
        at += file.get(at..)?.iter().position(|byte| *byte == first)?;
        if file.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}
