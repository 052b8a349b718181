//! The binary `verbatim`.

/// mimalloc, because the allocator of glibc took a quarter of the processor time of a send.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    verbatim::cli::main()
}
