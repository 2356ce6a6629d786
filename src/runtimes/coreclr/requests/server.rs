//! Whether the server of ASP.NET Core is loaded.

use super::request::CLASSES;
use crate::runtimes::coreclr::modules;
use crate::runtimes::coreclr::types::Types;

/// Its assembly.
const KESTREL: &str = "Microsoft.AspNetCore.Server.Kestrel.Core";

/// Whether it is, by the files of the program's assemblies; of a program that is one file by its types. Where that cannot be read, it may be.
pub(in crate::runtimes::coreclr) fn may_serve(types: Types<'_>) -> bool {
    let Ok(all) = types.modules.all(types.clr) else { return true };
    let mut is_known = all.unread.is_none();
    for module in &all.modules {
        match modules::path(types.clr, *module) {
            Ok(Some(path)) if path.contains(KESTREL) => return true,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => is_known = false,
        }
    }
    let [protocol, _] = CLASSES;
    !is_known && types.find(protocol).map_or(true, |found| found.is_some())
}
