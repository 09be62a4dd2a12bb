//! What a child that is forked inside a closure may not do: write without the lock that its parent holds.

use procshare::{Array, Error, Result, ShareableList, Value};

use crate::support::{Child, Signal, TestSpace, continue_in_child, watchdog};

/// Calls `update` with a closure body that forks and tells whether it runs in the child. The child returns from the closure
/// after the parent has made five more updates.
fn fork_within(
    update: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<()>,
    mut one_more: impl FnMut() -> Result<()>,
) {
    let go = Signal::new();
    let mut child: Option<Child> = None;
    let result = update(&mut || {
        child = continue_in_child();
        if child.is_none() {
            go.wait();
        }
        child.is_none()
    });
    let Some(child) = child else {
        let refused = matches!(result, Err(Error::Inherited { .. }));
        // SAFETY: ends the child without returning into the test harness.
        unsafe { libc::_exit(i32::from(!refused)) };
    };
    result.unwrap();
    for _ in 0..5 {
        one_more().unwrap();
    }
    go.send();
    child.join();
}

#[test]
fn a_child_forked_within_an_update_commits_nothing() {
    let _watchdog = watchdog();
    let space = TestSpace::new();
    let value = Value::builder().space(&space.space).create("value", 0u64).unwrap();
    fork_within(
        |in_child| value.update(|value| *value = if in_child() { 1000 } else { 1 }),
        || value.update(|value| *value += 1),
    );
    assert_eq!(value.get().unwrap(), 6);

    let array =
        Array::builder().space(&space.space).create("array", procshare::ArrayInit::filled(3, 0u64)).unwrap();
    fork_within(
        |in_child| array.update(1, |element| *element = if in_child() { 1000 } else { 1 }),
        || array.update(1, |element| *element += 1),
    );
    assert_eq!(array.to_vec().unwrap(), [0, 6, 0]);

    let list = ShareableList::builder().space(&space.space).create("list", &[0.into()]).unwrap();
    fork_within(
        |in_child| list.update(0, |_| if in_child() { 1000 } else { 1 }),
        || list.update(0, |item| item.as_int().unwrap() + 1),
    );
    assert_eq!(list.get(0).unwrap().as_int(), Some(6));
}
