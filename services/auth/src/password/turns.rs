//! A queue in which keys take turns, so that many items of one key do not delay other keys.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A queue in which keys take turns. Items of one key keep their order.
pub(crate) struct Turns<K, T> {
    /// No lane is empty.
    lanes: HashMap<K, VecDeque<T>>,
    /// The keys of `lanes`, the next one first.
    order: VecDeque<K>,
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, T> Turns<K, T> {
    /// Adds an item behind the others of its key.
    pub(crate) fn push(&mut self, key: K, item: T) {
        let lane = self.lanes.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            VecDeque::new()
        });
        lane.push_back(item);
    }

    /// Takes the first item of the key whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let key = self.order.pop_front()?;
        let lane = self.lanes.get_mut(&key)?;
        let item = lane.pop_front();
        if lane.is_empty() {
            self.lanes.remove(&key);
        } else {
            self.order.push_back(key);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_waits_for_one_of_each_other_key_at_most() {
        let mut turns = Turns::default();
        for number in 0..4 {
            turns.push('a', number);
        }
        turns.push('b', 10);
        turns.push('b', 11);
        turns.push('c', 20);
        let popped: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(popped, [0, 10, 20, 1, 11, 2, 3]);
        assert!(turns.lanes.is_empty() && turns.order.is_empty());
        turns.push('a', 30);
        assert_eq!((turns.pop(), turns.pop()), (Some(30), None));
    }
}
