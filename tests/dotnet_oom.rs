//! An allocation that .NET's collector could not serve, told of a dump: what fixtures/dotnet-oom asks for.

use std::process::Command;

use support::{Dotnet, Started, run};

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn an_allocation_that_failed_is_told_with_its_bytes_and_the_reason() {
    let dotnet = Dotnet::find();
    let program = support::repository().join("fixtures/dotnet-oom/Oom.dll");
    for (version, runtime) in &dotnet.runtimes {
        for server in ["0", "1"] {
            println!(".NET {version}, server {server}");
            let mut command = dotnet.command(version, &program);
            // 0x10000000 bytes.
            command.env("DOTNET_GCHeapHardLimit", "10000000").env("DOTNET_gcServer", server);
            let (process, printed) = Started::ready(&mut command, "dotnet-runtime-8.0");
            assert_eq!(&printed, version);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let dump = folder.path().join("dump");
            let mut command = Command::new(runtime.join("createdump"));
            command.args(["--withheap", "-f"]).arg(&dump).arg(process.pid().to_string());
            run(command).expect_status(0);
            let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
            command.arg("analyze").arg(&dump).args(["--json", "--offline", "-c", "analyzeoom", "-c", "dumpheap -stat"]);
            let mut documents = run(command).expect_status(0).documents();
            let told = documents.remove(0)["data"].take();
            let failed = told["failed"].as_array().expect("failed");
            assert_eq!(failed.len(), 1, "{told}");
            // An array's header and length take 24 bytes, and the collector may round up to a page.
            let bytes = failed[0]["bytes"].as_u64().expect("bytes");
            assert!((33_554_456..33_554_456 + 4096).contains(&bytes), "{told}");
            // What the limit leaves no room for is not committed: gc.cpp, virtual_commit; the system is not asked.
            assert!(failed[0]["reason"].as_str().is_some_and(|reason| reason.contains("the heap's limit")), "{told}");
            assert_eq!(failed[0]["from_system"], serde_json::Value::Null, "{told}");
            assert!(failed[0]["collection"].as_u64().is_some_and(|count| count > 0), "{told}");
            // What it kept is on the heap.
            let types = documents[0]["data"]["types"].as_array().expect("types");
            let kept = types.iter().find(|kind| kind["type"] == "System.Byte[]").expect("arrays");
            assert!(kept["bytes"].as_u64().is_some_and(|bytes| bytes > 4 * (32 << 20)), "{kept}");
        }
    }
}
