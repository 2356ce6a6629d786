//! C++: its standard libraries.

use super::names::Names;

/// Sources: Itanium C++ ABI; libstdc++ 12 <bits/invoke.h>, <bits/std_thread.h>, <bits/std_function.h>.
pub(super) const NAMES: Names = Names {
    libraries: &["libstdc++.so", "libc++.so", "libc++abi.so"],
    scopes: &["std::", "__gnu_cxx::", "__cxxabiv1::"],
    functions: &["execute_native_thread_routine"],
    starts: &["execute_native_thread_routine"],
    glue: &[
        "std::__invoke",
        "std::thread::_Invoker",
        "std::thread::_State_impl",
        "std::_Function_handler",
        "std::function<",
    ],
    ..Names::NONE
};
