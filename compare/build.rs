//! Compiles the queue of Boost.Interprocess where its headers are; elsewhere it is not measured.

fn main() {
    println!("cargo::rerun-if-changed=src/boost.cpp");
    println!("cargo::rustc-check-cfg=cfg(has_boost)");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let mut compiler = cc::Build::new();
    compiler.cpp(true).file("src/boost.cpp").opt_level(2).cargo_warnings(false);
    if compiler.try_compile("procshare_compare_boost").is_ok() {
        println!("cargo::rustc-cfg=has_boost");
    }
}
