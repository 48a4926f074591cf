//! The rows a batch touches, in memory between load and write-back.

use std::collections::BTreeMap;

/// Rows by key. Ordered, so that what is written reaches the indexes in their order.
pub(crate) struct Rows<K, R>(BTreeMap<K, Slot<R>>);

struct Slot<R> {
    row: Option<R>,
    stored: bool,
    touched: bool,
}

impl<K: Ord, R> Rows<K, R> {
    pub(crate) fn loaded(rows: impl IntoIterator<Item = R>, key: impl Fn(&R) -> K) -> Self {
        let slot = |row| (key(&row), Slot { row: Some(row), stored: true, touched: false });
        Self(rows.into_iter().map(slot).collect())
    }

    pub(crate) fn get(&self, key: &K) -> Option<&R> {
        self.0.get(key).and_then(|slot| slot.row.as_ref())
    }

    /// Changes the row, if there is one: an event that speaks of a row long gone changes nothing.
    pub(crate) fn change(&mut self, key: &K, change: impl FnOnce(&mut R)) {
        if let Some(slot) = self.0.get_mut(key)
            && let Some(row) = &mut slot.row
        {
            change(row);
            slot.touched = true;
        }
    }

    pub(crate) fn put(&mut self, key: K, row: R) {
        let slot = self.0.entry(key).or_insert(Slot { row: None, stored: false, touched: true });
        slot.row = Some(row);
        slot.touched = true;
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(slot) = self.0.get_mut(key) {
            slot.row = None;
            slot.touched = true;
        }
    }

    /// Drops rows that a statement of its own deletes, before the others are written.
    pub(crate) fn forget(&mut self, gone: impl Fn(&K) -> bool) {
        for (_, slot) in self.0.iter_mut().filter(|(key, _)| gone(key)) {
            slot.row = None;
            slot.stored = false;
        }
    }

    pub(crate) fn to_write(&self) -> Vec<&R> {
        self.0.values().filter(|slot| slot.touched).filter_map(|slot| slot.row.as_ref()).collect()
    }

    /// Of those, the ones that are new: nothing has to be looked for to write them.
    pub(crate) fn to_insert(&self) -> Vec<&R> {
        let rows = self.0.values().filter(|slot| slot.touched && !slot.stored);
        rows.filter_map(|slot| slot.row.as_ref()).collect()
    }

    /// Of those, the ones that were there before.
    pub(crate) fn to_rewrite(&self) -> Vec<&R> {
        let rows = self.0.values().filter(|slot| slot.touched && slot.stored);
        rows.filter_map(|slot| slot.row.as_ref()).collect()
    }

    pub(crate) fn to_delete(&self) -> Vec<&K> {
        let gone = |slot: &Slot<R>| slot.touched && slot.stored && slot.row.is_none();
        self.0.iter().filter(|(_, slot)| gone(slot)).map(|(key, _)| key).collect()
    }
}

/// One column of many rows, as `unnest` takes it.
pub(crate) fn column<'a, R, T>(rows: &[&'a R], field: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(|row| field(row)).collect()
}
