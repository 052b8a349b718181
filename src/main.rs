//! The one binary, `verbatim`.

fn main() -> std::process::ExitCode {
    verbatim::cli::main()
}
