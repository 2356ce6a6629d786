//! Requests of ASP.NET Core's server (Kestrel) that are in flight, and calls of `HttpClient` that have no answer yet.
//!
//! Input: the objects of the heap, and stacks. Output: [`Request`]s and [`Call`]s. Sources: dotnet/aspnetcore
//! src/Servers/Kestrel/Core/src/Internal/Http/HttpProtocol.cs, src/Hosting/Hosting/src/Internal/HostingApplication.cs; dotnet/runtime
//! src/libraries/System.Net.Http. Fields are found by their names; what a version does not have is unknown.

mod awaited;
mod call;
mod date;
mod find;
mod request;
mod served;

pub use self::call::Call;
pub(super) use self::call::calls;
pub(super) use self::request::requests;
pub use self::request::{Request, Stage};
