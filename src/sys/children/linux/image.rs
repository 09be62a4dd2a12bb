//! This program as the loader sees it: what the linker calls it, and its constructors.

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::entry::Constructor;

/// What is looked for in the program's headers.
#[derive(Default)]
struct Found {
    build_id: Option<Vec<u8>>,
    /// Address and length in bytes of the table of constructors.
    constructors: Option<(usize, usize)>,
    /// Where in its file the code and the constants are, and how many bytes.
    code: Vec<(u64, u64)>,
}

/// What the linker calls this program, if it does.
pub(crate) fn build_id() -> Option<Vec<u8>> {
    look().build_id
}

/// What tells this program's code and constants from those of another, as far as its file can be read.
///
/// From the file, because a debugger writes into the memory.
pub(crate) fn code_digest() -> Option<u64> {
    digest_of(&File::open("/proc/self/exe").ok()?, &look().code).ok()
}

/// FNV-1a of these ranges, eight bytes at a time.
fn digest_of(file: &File, ranges: &[(u64, u64)]) -> io::Result<u64> {
    const STEP: usize = 256 * 1024;
    let (mut buffer, mut digest) = (vec![0; STEP], 0xcbf2_9ce4_8422_2325u64);
    for &(mut at, len) in ranges {
        let mut left = len;
        while left > 0 {
            let piece = &mut buffer[..left.min(STEP as u64) as usize];
            file.read_exact_at(piece, at)?;
            for word in piece.chunks(8) {
                let mut bytes = [0; 8];
                bytes[..word.len()].copy_from_slice(word);
                digest = (digest ^ u64::from_le_bytes(bytes)).wrapping_mul(0x0000_0100_0000_01b3);
                digest = digest.rotate_left(23);
            }
            at += piece.len() as u64;
            left -= piece.len() as u64;
        }
    }
    Ok(digest)
}

/// Runs the constructors of the program that come after `own`.
pub(super) fn run_constructors_behind(
    (count, arguments, environment): (c_int, *const *const c_char, *const *const c_char),
    own: Constructor,
) {
    let Some((address, len)) = look().constructors else { return };
    // SAFETY: (S1) the loader says that there are so many words, which it has relocated, and calls them just now.
    let table = unsafe { std::slice::from_raw_parts(address as *const usize, len / size_of::<usize>()) };
    let Some(at) = table.iter().position(|&function| function == own as usize) else { return };
    for &function in &table[at + 1..] {
        // Both values mean that there is none.
        if function != 0 && function != usize::MAX {
            // SAFETY: (S1) a constructor in the program's table, called as the loader would call it.
            let function = unsafe { std::mem::transmute::<usize, Constructor>(function) };
            function(count, arguments, environment);
        }
    }
}

fn look() -> Found {
    let mut found = Found::default();
    // SAFETY: (S1) the callback gets `found`, which lives for the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    found
}

/// Looks at one object; the first is the program itself, and the only one looked at.
unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, found: *mut c_void) -> c_int {
    // SAFETY: (S1) the loader passes a live description of a mapped object, and `look`'s `found`.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Found>()) };
    if info.dlpi_phdr.is_null() {
        return 1;
    }
    // SAFETY: (S1) the loader says that there are so many headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
    for header in headers {
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        match header.p_type {
            libc::PT_NOTE => {
                // SAFETY: (S1) a mapped segment of the program, which stays as it is.
                let notes =
                    unsafe { std::slice::from_raw_parts(start as *const u8, header.p_memsz as usize) };
                found.build_id = found.build_id.take().or_else(|| build_note(notes));
            }
            libc::PT_LOAD if header.p_flags & libc::PF_W == 0 => {
                #[allow(clippy::unnecessary_cast, reason = "narrower on 32-bit systems")]
                found.code.push((header.p_offset as u64, header.p_filesz as u64));
            }
            libc::PT_DYNAMIC => {
                let words = header.p_memsz as usize / size_of::<usize>();
                // SAFETY: (S1) the dynamic section is a mapped table of pairs of words.
                let pairs = unsafe { std::slice::from_raw_parts(start as *const usize, words) };
                found.constructors = constructors(pairs, info.dlpi_addr as usize);
            }
            _ => {}
        }
    }
    1
}

/// The table of constructors, from the dynamic section.
fn constructors(pairs: &[usize], base: usize) -> Option<(usize, usize)> {
    const INIT_ARRAY: usize = 25;
    const INIT_ARRAY_LEN: usize = 27;
    let value = |tag| pairs.chunks_exact(2).take_while(|pair| pair[0] != 0).find(|pair| pair[0] == tag);
    Some((value(INIT_ARRAY)?[1].wrapping_add(base), value(INIT_ARRAY_LEN)?[1]))
}

/// The build id among notes: each is three words (lengths of name and text, kind), name, text, the latter two padded.
fn build_note(mut notes: &[u8]) -> Option<Vec<u8>> {
    const BUILD_ID: u32 = 3;
    let padded = |len: u32| (len as usize).checked_next_multiple_of(4);
    while notes.len() >= 12 {
        let word = |at: usize| u32::from_ne_bytes([notes[at], notes[at + 1], notes[at + 2], notes[at + 3]]);
        let (name, text) = (12..12 + word(0) as usize, 12 + padded(word(0))?);
        let text = text..text.checked_add(word(4) as usize)?;
        if word(8) == BUILD_ID && notes.get(name) == Some(b"GNU\0".as_slice()) {
            return notes.get(text).map(<[u8]>::to_vec);
        }
        notes = notes.get(text.start.checked_add(padded(word(4))?)?..)?;
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let mut notes = Vec::new();
        for (name, kind, text) in
            [(&b"GNU\0"[..], 1u32, &b"abcd"[..]), (b"X\0\0\0", 3, b"no"), (b"GNU\0", 3, b"\x01\x02\x03")]
        {
            for word in [name.len() as u32, text.len() as u32, kind] {
                notes.extend(word.to_ne_bytes());
            }
            notes.extend(name);
            notes.extend(text);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(build_note(&notes), Some(vec![1, 2, 3]));
        for len in 0..notes.len() - 4 {
            assert_eq!(build_note(&notes[..len]), None, "{len} bytes");
        }
        assert_eq!(build_note(&[0xff; 64]), None);
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn each_byte_of_the_code_counts_and_no_other() {
        let path = std::env::temp_dir().join(format!("procshare-digest-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all_at(&[3; 600_000], 0).unwrap();
        let ranges = [(10, 13), (100, 300_001), (500_000, 8)];
        let before = digest_of(&file, &ranges).unwrap();
        for (at, counts) in [
            (9, false),
            (10, true),
            (22, true),
            (23, false),
            (300_100, true),
            (300_101, false),
            (500_007, true),
        ] {
            file.write_all_at(&[4], at).unwrap();
            assert_eq!(digest_of(&file, &ranges).unwrap() != before, counts, "byte {at}");
            file.write_all_at(&[3], at).unwrap();
        }
        assert_eq!(digest_of(&file, &ranges).unwrap(), before);
        assert!(digest_of(&file, &[(599_999, 2)]).is_err());
        assert!(code_digest().is_some() && code_digest() == code_digest());
    }

    #[test]
    fn this_program_has_constructors() {
        let (address, len) = look().constructors.unwrap();
        assert!(address != 0 && len >= size_of::<usize>());
    }
}
