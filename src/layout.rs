//! The page that describes every byte, and the test that holds it to the truth.

/// Makes a test that compares the fields of a struct with the section of `docs/layout.md` that bears its name.
macro_rules! documented_layout {
    ($name:ident { $($field:ident),* $(,)? }) => {
        #[cfg(all(test, not(loom)))]
        #[test]
        fn layout_is_documented() {
            fn size<S, F>(_: fn(&S) -> &F) -> usize {
                size_of::<F>()
            }
            crate::layout::check(
                stringify!($name),
                size_of::<$name>(),
                &[$((
                    stringify!($field),
                    core::mem::offset_of!($name, $field),
                    size::<$name, _>(|it| &it.$field),
                )),*],
            );
        }
    };
}

/// Compares name, offset and size of every field with the page.
#[cfg(all(test, not(loom)))]
pub(crate) fn check(name: &str, size: usize, fields: &[(&str, usize, usize)]) {
    const PAGE: &str = include_str!("../docs/layout.md");
    let title = format!("## {name}, {size} bytes");
    let section =
        PAGE.split_once(&title).unwrap_or_else(|| panic!("docs/layout.md has no section '{title}'")).1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_digit))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let documented: Vec<(&str, usize, usize)> =
        rows.iter().map(|row| (row[3], row[1].parse().unwrap(), row[2].parse().unwrap())).collect();
    assert_eq!(documented, fields, "docs/layout.md, section {name}, does not describe the real layout");
    let covered: usize = fields.iter().map(|(_, _, bytes)| bytes).sum();
    assert!(covered <= size);
}
