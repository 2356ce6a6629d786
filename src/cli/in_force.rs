//! `dumpscope config`: the settings that are in force, and where each comes from.

use serde::Serialize;

use super::reading::Reading;
use crate::error::Error;
use crate::job::Job;
use crate::report::json::{self, Envelope};
use crate::report::sanitize::sanitize;
use crate::settings::{Glyphs, Theme};
use crate::target::SourcePlace;

/// A setting that is in force.
#[derive(Serialize)]
struct InForce {
    key: &'static str,
    value: serde_json::Value,
    /// `default`, `file` or `command line`.
    from: &'static str,
}

/// Prints what is in force and from where.
pub(super) fn print(reading: &Reading) -> Result<(), Error> {
    let (settings, search, config) = (reading.settings(), reading.search(), &reading.config);
    let given = reading.on_command_line();
    let from = |key: &str| match (given.contains(&key), config.keys.contains(&key)) {
        (true, _) => "command line",
        (false, true) => "file",
        (false, false) => "default",
    };
    let place = |place: &SourcePlace| match place {
        SourcePlace::Directory(directory) => directory.display().to_string(),
        SourcePlace::Mapped(from, to) => format!("{}={}", from.display(), to.display()),
    };
    let values: [(&'static str, serde_json::Value); 7] = [
        (
            "theme",
            word(match settings.theme {
                Theme::Auto => "auto",
                Theme::Dark => "dark",
                Theme::Light => "light",
            }),
        ),
        (
            "ascii",
            word(match settings.glyphs {
                Glyphs::Auto => "auto",
                Glyphs::Ascii => "always",
                Glyphs::Unicode => "never",
            }),
        ),
        (
            "color",
            word(match settings.color {
                None => "auto",
                Some(true) => "always",
                Some(false) => "never",
            }),
        ),
        ("pc", settings.pc.into()),
        ("history", settings.history.into()),
        ("source", search.sources.iter().map(place).collect::<Vec<_>>().into()),
        ("symbols", search.directories.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().into()),
    ];
    let rows: Vec<InForce> = values.into_iter().map(|(key, value)| InForce { key, value, from: from(key) }).collect();
    let path = config.path.as_ref().map(|path| path.display().to_string());
    let there = config.there;
    if reading.json {
        let data = serde_json::json!({ "file": path, "there": there, "settings": rows });
        let data = |out: &mut dyn std::io::Write, _: &Job| json::write(out, &data);
        return super::printed(|out, job| Envelope::new(out, job).data("config", &data, &[]));
    }
    let file = match (&path, there) {
        (Some(path), true) => format!("# {path}\n"),
        (Some(path), false) => format!("# {path} (there is none)\n"),
        (None, _) => "# no home directory is known: there is no file\n".to_owned(),
    };
    let lines: Vec<(String, &str)> =
        rows.iter().map(|row| (format!("{} = {}", row.key, row.value), row.from)).collect();
    let wide = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    let text: String = lines.iter().map(|(line, from)| format!("{line:wide$}  # {from}\n")).collect();
    let safe: String = format!("{file}{text}").lines().map(|line| format!("{}\n", sanitize(line))).collect();
    super::print(&safe)
}

fn word(text: &str) -> serde_json::Value {
    text.into()
}
