//! Prints how procshare stands beside its peers; see `--help`.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    // One of the peers needs this hook; procshare's processes need none.
    procspawn::init();
    procshare_compare::cli::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("the comparison pins processes to cores and needs Linux");
    std::process::ExitCode::FAILURE
}
