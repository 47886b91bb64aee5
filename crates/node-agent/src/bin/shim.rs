//! The shim alone, as a binary of its own: for this crate's tests. The product's binary calls the same function.

fn main() -> std::process::ExitCode {
    // As the product does it: `EXE shim …`.
    container_runtime::shim_main(std::env::args_os().skip(2))
}
