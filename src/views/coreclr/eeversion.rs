//! `eeversion`: which .NET it is, and by what it is read.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::{CoreClr, Described};
use crate::shape;
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "eeversion",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "The .NET runtime: version, commit, collector, and whose description of its structures is used",
    help: "All of it is told by the dump alone. A version that this program knows (8, 9, 10) is read without \
           the runtime's own description, too; a later one as far as it describes itself.

$ dumpscope shop.core -c eeversion
Version      9.0.22
Full         9.0.2226.52218
Commit       faaecba82df8933d7af60972138ce25f9c776cbd
Collector    workstation
Module       /opt/dotnet/shared/Microsoft.NETCore.App/9.0.22/libcoreclr.so
Base         0x7f8792c00000
Described by this program, for its major version",
    build,
    schema: shape!(EeVersion),
};

/// The runtime.
#[derive(Serialize, JsonSchema)]
pub struct EeVersion {
    /// `9.0.22`; null where the dump does not tell.
    pub version: Option<String>,
    /// `9.0.2226.52218`; null where the dump does not hold it.
    pub full_version: Option<String>,
    /// The commit of dotnet/runtime that it was built of; null where the dump does not hold it.
    pub commit: Option<String>,
    /// Whether the collector is the server's; null where it is not known.
    pub server_gc: Option<bool>,
    /// Path of the module that holds it.
    pub module: Option<String>,
    /// Where that begins.
    pub base: Addr,
    /// Whose description of its structures is used: `own` (the dump's), `bundled` (this program's).
    pub described: &'static str,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let data = super::with(session, job, told)?;
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

fn told(runtime: &CoreClr) -> Result<EeVersion, Error> {
    let clr = runtime.clr();
    let module = clr.target.modules.get(clr.module);
    Ok(EeVersion {
        version: clr.version.clone(),
        full_version: clr.full_version.clone(),
        commit: clr.commit.clone(),
        server_gc: clr.is_server().ok(),
        module: module.and_then(|module| module.mapped.path.clone()),
        base: module.map(|module| module.mapped.base).unwrap_or_default(),
        described: match clr.described {
            Described::Own => "own",
            Described::Bundled => "bundled",
        },
    })
}

impl Draw for EeVersion {
    fn draw(&self) -> Section {
        let text = |text: &Option<String>| match text {
            Some(text) => Cell::text(text.as_str()),
            None => Cell::unknown("the dump does not hold it"),
        };
        let collector = match self.server_gc {
            Some(true) => Cell::text("server"),
            Some(false) => Cell::text("workstation"),
            None => Cell::unknown("it cannot be read"),
        };
        let module = match &self.module {
            Some(path) => Cell::new(Value::Path(path.as_str().into())),
            None => Cell::unknown("the dump records no path"),
        };
        let described = match self.described {
            "own" => "the runtime itself, in the dump",
            _ => "this program, for its major version",
        };
        let fields = [
            ("Version", text(&self.version).tone(Tone::Strong)),
            ("Full", text(&self.full_version)),
            ("Commit", text(&self.commit)),
            ("Collector", collector),
            ("Module", module),
            ("Base", Cell::new(Value::Addr(self.base))),
            ("Described by", Cell::text(described)),
        ];
        let fields = fields.map(|(label, cell)| (label.to_owned(), Row::new(vec![cell]))).to_vec();
        Section { bodies: vec![Body::Fields(fields)], ..Section::default() }
    }
}
