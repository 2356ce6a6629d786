//! Requests of ASP.NET Core's server (Kestrel) that are in flight, and calls of `HttpClient` that have no answer yet.
//!
//! Input: the objects of the heap, and stacks. Output: [`Request`]s and [`Call`]s. Sources: dotnet/aspnetcore
//! src/Servers/Kestrel/Core/src/Internal/Http/HttpProtocol.cs, src/Hosting/Hosting/src/Internal/HostingApplication.cs; dotnet/runtime
//! src/libraries/System.Net.Http. Fields are found by their names; what a version does not have is unknown.

mod awaited;
mod call;
mod date;
mod find;
mod in_flight;
mod request;
mod served;
mod server;

pub use self::call::Call;
pub(super) use self::call::calls;
pub use self::find::Found;
pub(super) use self::in_flight::in_flight;
pub(super) use self::request::{CLASSES, requests};
pub use self::request::{Request, Stage};
pub(super) use self::server::may_serve;
