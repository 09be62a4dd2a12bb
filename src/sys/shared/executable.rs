//! The running program's name.

/// File name of the running program; empty where the system does not tell.
pub(crate) fn executable() -> Vec<u8> {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(|path| path.file_name());
    name.map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default()
}
