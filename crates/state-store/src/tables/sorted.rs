//! A sorted set that is cheap to copy and cheap to change after a copy was taken.
//!
//! A tree of narrow nodes, entries only in its leaves. A copy shares everything; a change copies the nodes on the way to
//! its place that are still shared. What such a copy costs is a counter, elsewhere in memory, for every entry of the node, once
//! when it is made and once when the old one goes: with wide nodes that was most of the cost of a commit.

use std::{fmt, slice, sync::Arc};

/// Entries of a leaf, and children of a node above it.
const WIDTH: usize = 32;

/// What an entry is sorted by; it never changes.
pub(super) trait Keyed {
    fn key(&self) -> &str;
}

pub(super) struct Sorted<T> {
    root: Arc<Node<T>>,
    len: usize,
}

enum Node<T> {
    Leaf(Vec<Arc<T>>),
    /// Children of one height, none of them empty.
    Inner(Vec<Child<T>>),
}

struct Child<T> {
    /// Its greatest entry.
    last: Arc<T>,
    node: Arc<Node<T>>,
}

impl<T> Clone for Sorted<T> {
    fn clone(&self) -> Sorted<T> {
        Sorted { root: self.root.clone(), len: self.len }
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Sorted<T> {
        Sorted { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<T: Keyed + fmt::Debug> fmt::Debug for Sorted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.from("")).finish()
    }
}

impl<T: Keyed> Sorted<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, key: &str) -> Option<&Arc<T>> {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(entries) => return entries.get(position(entries, key).ok()?),
                Node::Inner(children) => node = &children.get(child_of(children, key))?.node,
            }
        }
    }

    /// Adds `entry`, and returns the one of the same key that it replaces.
    pub fn insert(&mut self, entry: Arc<T>) -> Option<Arc<T>> {
        let (replaced, right) = Arc::make_mut(&mut self.root).insert(entry);
        self.len += usize::from(replaced.is_none());
        if let Some(right) = right {
            let left = Child::of(self.root.clone());
            self.root = Arc::new(Node::Inner(left.into_iter().chain([right]).collect()));
        }
        replaced
    }

    pub fn remove(&mut self, key: &str) -> Option<Arc<T>> {
        // Nothing is copied for what is not there.
        self.get(key)?;
        let removed = Arc::make_mut(&mut self.root).remove(key)?;
        self.len -= 1;
        while let Node::Inner(children) = &*self.root
            && let [only] = &children[..]
        {
            self.root = only.node.clone();
        }
        Some(removed)
    }

    /// Entries from `key` on, ascending.
    pub fn from(&self, key: &str) -> impl Iterator<Item = &Arc<T>> + use<'_, T> {
        let mut above = Vec::new();
        let mut node = &self.root;
        let entries = loop {
            match &**node {
                Node::Leaf(entries) => break &entries[entries.partition_point(|entry| entry.key() < key)..],
                Node::Inner(children) => {
                    let mut rest = children[child_of(children, key)..].iter();
                    let Some(first) = rest.next() else { break &[] };
                    above.push(rest);
                    node = &first.node;
                }
            }
        };
        Iter { entries: entries.iter(), above }
    }

    /// Entries whose key begins with `prefix`, from `key` on, ascending.
    pub fn prefix_from(&self, prefix: String, key: &str) -> impl Iterator<Item = &Arc<T>> + use<'_, T> {
        let from = if key > prefix.as_str() { key } else { &prefix };
        self.from(from).take_while(move |entry| entry.key().starts_with(&prefix))
    }
}

impl<T: Keyed> Node<T> {
    fn last(&self) -> Option<&Arc<T>> {
        match self {
            Node::Leaf(entries) => entries.last(),
            Node::Inner(children) => children.last().map(|child| &child.last),
        }
    }

    /// Returns what `entry` replaces, and what of this node had no room any more and belongs to its right.
    fn insert(&mut self, entry: Arc<T>) -> (Option<Arc<T>>, Option<Child<T>>) {
        match self {
            Node::Leaf(entries) => match position(entries, entry.key()) {
                Ok(at) => (Some(std::mem::replace(&mut entries[at], entry)), None),
                Err(at) => {
                    (None, put(entries, at, entry).and_then(|right| Child::of(Arc::new(Node::Leaf(right)))))
                }
            },
            Node::Inner(children) => {
                // Behind the last child means: at its end.
                let at = child_of(children, entry.key()).min(children.len() - 1);
                let (replaced, right) = Arc::make_mut(&mut children[at].node).insert(entry);
                children[at].look_again();
                let right = right.and_then(|right| put(children, at + 1, right));
                (replaced, right.and_then(|right| Child::of(Arc::new(Node::Inner(right)))))
            }
        }
    }

    /// May leave the node empty.
    fn remove(&mut self, key: &str) -> Option<Arc<T>> {
        let children = match self {
            Node::Leaf(entries) => return position(entries, key).ok().map(|at| entries.remove(at)),
            Node::Inner(children) => children,
        };
        let at = child_of(children, key);
        let child = children.get_mut(at)?;
        let removed = Arc::make_mut(&mut child.node).remove(key)?;
        if !child.look_again() {
            children.remove(at);
        } else if at + 1 < children.len() && children[at].width() + children[at + 1].width() <= WIDTH / 2 {
            let next = children.remove(at + 1);
            Arc::make_mut(&mut children[at].node).append(&next.node);
            children[at].last = next.last;
        }
        Some(removed)
    }

    /// Takes over what a node of the same height has, all of it greater.
    fn append(&mut self, next: &Node<T>) {
        match (self, next) {
            (Node::Leaf(entries), Node::Leaf(more)) => entries.extend(more.iter().cloned()),
            (Node::Inner(children), Node::Inner(more)) => children.extend(more.iter().cloned()),
            _ => unreachable!("the children of a node have one height"),
        }
    }
}

impl<T: Keyed> Child<T> {
    /// None: the node is empty.
    fn of(node: Arc<Node<T>>) -> Option<Child<T>> {
        let last = node.last()?.clone();
        Some(Child { last, node })
    }

    /// After a change. False: the node is empty.
    fn look_again(&mut self) -> bool {
        let Some(last) = self.node.last() else { return false };
        if !Arc::ptr_eq(last, &self.last) {
            self.last = last.clone();
        }
        true
    }

    fn width(&self) -> usize {
        match &*self.node {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.len(),
        }
    }
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Node<T> {
        match self {
            Node::Leaf(entries) => Node::Leaf(roomy(entries)),
            Node::Inner(children) => Node::Inner(roomy(children)),
        }
    }
}

impl<T> Clone for Child<T> {
    fn clone(&self) -> Child<T> {
        Child { last: self.last.clone(), node: self.node.clone() }
    }
}

struct Iter<'a, T> {
    entries: slice::Iter<'a, Arc<T>>,
    /// What is left of the nodes above, the nearest last.
    above: Vec<slice::Iter<'a, Child<T>>>,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a Arc<T>;

    fn next(&mut self) -> Option<&'a Arc<T>> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
            match self.above.last_mut()?.next().map(|child| &*child.node) {
                None => _ = self.above.pop(),
                Some(Node::Leaf(entries)) => self.entries = entries.iter(),
                Some(Node::Inner(children)) => self.above.push(children.iter()),
            }
        }
    }
}

/// A copy that one more fits into: it is made to be changed.
fn roomy<T: Clone>(from: &[T]) -> Vec<T> {
    let mut copy = Vec::with_capacity((from.len() + 1).min(WIDTH));
    copy.extend_from_slice(from);
    copy
}

/// Puts `one` at its place. Without room, returns what belongs to the right of `all` from now on.
fn put<T>(all: &mut Vec<T>, at: usize, one: T) -> Option<Vec<T>> {
    if all.len() < WIDTH {
        all.insert(at, one);
        return None;
    }
    if at == all.len() {
        // Ascending inserts leave full nodes behind instead of half empty ones.
        return Some(vec![one]);
    }
    let mut right = all.split_off(WIDTH / 2);
    match at.checked_sub(WIDTH / 2) {
        Some(at) => right.insert(at, one),
        None => all.insert(at, one),
    }
    Some(right)
}

/// The first child whose last entry is not before `key`: the only one that can hold it.
fn child_of<T: Keyed>(children: &[Child<T>], key: &str) -> usize {
    children.partition_point(|child| child.last.key() < key)
}

fn position<T: Keyed>(entries: &[Arc<T>], key: &str) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.key().cmp(key))
}
