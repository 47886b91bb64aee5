//! Sets of small numbers, for questions about all instances at once: one bit per slot.

/// A set of slots. Slots beyond its length are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub fn none(slots: usize) -> Bits {
        Bits(vec![0; slots.div_ceil(64)])
    }

    pub fn of(slots: usize, matches: impl Fn(usize) -> bool) -> Bits {
        let mut bits = Bits::none(slots);
        for slot in 0..slots {
            if matches(slot) {
                bits.insert(slot);
            }
        }
        bits
    }

    pub fn insert(&mut self, slot: usize) {
        if slot / 64 >= self.0.len() {
            self.0.resize(slot / 64 + 1, 0);
        }
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub fn remove(&mut self, slot: usize) {
        if let Some(word) = self.0.get_mut(slot / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    pub fn set(&mut self, slot: usize, member: bool) {
        if member { self.insert(slot) } else { self.remove(slot) }
    }

    pub fn contains(&self, slot: usize) -> bool {
        self.0.get(slot / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    pub fn keep(&mut self, others: &Bits) {
        for (index, word) in self.0.iter_mut().enumerate() {
            *word &= others.0.get(index).copied().unwrap_or(0);
        }
    }

    pub fn add(&mut self, others: &Bits) {
        if self.0.len() < others.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            *word |= other;
        }
    }

    /// Those of `all` that are not in the set.
    pub fn missing_from(&self, all: &Bits) -> Bits {
        let words = all.0.iter().enumerate();
        Bits(words.map(|(index, word)| word & !self.0.get(index).copied().unwrap_or(0)).collect())
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }
}
