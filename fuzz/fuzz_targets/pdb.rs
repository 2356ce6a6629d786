//! A portable PDB: lines, variables, waits of asynchronous methods.
#![no_main]

use dumpscope::runtimes::coreclr::metadata::Pdb;
use libfuzzer_sys::fuzz_target;
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    let Ok(pdb) = Pdb::read(FileBytes::from_vec(data.to_vec())) else { return };
    for method in (0..16).chain([u32::MAX]) {
        for il in [0, 7, u32::MAX] {
            let _ = pdb.line(method, il);
            let _ = pdb.locals(method, il);
        }
        let _ = pdb.kickoff(method);
        let _ = pdb.waits(method);
    }
});
