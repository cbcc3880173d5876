//! Lists of a workflow's state: most hold one to five items for as long as the workflow is open, so they grow by an
//! eighth. A `Vec` makes room for four at the first item and then doubles, which was half of a workflow's memory.

use std::collections::VecDeque;

/// Adds an item to the end of a list that stays small.
pub(crate) fn add<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(more(list.len()));
    }
    list.push(item);
}

/// Adds an item to the end of a window that stays small.
pub(crate) fn add_back<T>(window: &mut VecDeque<T>, item: T) {
    if window.len() == window.capacity() {
        window.reserve_exact(more(window.len()));
    }
    window.push_back(item);
}

/// Puts another text in the place of one; of the same length, as ids mostly are, it takes no new memory.
pub(crate) fn replace(text: &mut Box<str>, new: &str) {
    let mut kept = String::from(std::mem::take(text));
    kept.clear();
    kept.push_str(new);
    *text = kept.into_boxed_str();
}

const fn more(items: usize) -> usize {
    1 + items / 8
}
