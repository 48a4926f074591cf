//! The right edge of a growing RFC 6962 tree: all that appending and the root need of it.

use tlog_tiles::{EMPTY_HASH, Hash, node_hash};

/// The roots of the complete subtrees a tree consists of, from the largest, which is the leftmost, to the smallest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A tree of that size, of which at least the peaks are known that its growth will take in.
    pub(super) fn resume(size: u64, peaks: Vec<Hash>) -> Self {
        Self { size, peaks }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. Gives its hash, and those of the subtrees it completes, from the lowest up; none if a peak that
    /// takes part in them is not known.
    pub fn push(&mut self, leaf: Hash) -> Option<Vec<Hash>> {
        let mut completed = vec![leaf];
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            node = node_hash(self.peaks.pop()?, node);
            completed.push(node);
        }
        self.peaks.push(node);
        self.size += 1;
        Some(completed)
    }

    /// The root of the tree so far.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let smallest = peaks.next().unwrap_or(EMPTY_HASH);
        peaks.fold(smallest, |right, left| node_hash(left, right))
    }

    /// The peaks of a tree of that size that its growth by so many leaves takes in, from the leftmost: of each its
    /// level, and after how many leaves it was complete.
    pub(super) fn peaks_to_merge(size: u64, growth: u64) -> Vec<(u32, u64)> {
        let merges = |level: &u32| (size + growth) >> level >> 1 > size >> level >> 1;
        let peaks = (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1).filter(merges);
        peaks.map(|level| (level, size >> level << level)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tlog_tiles::record_hash;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    fn shown(hash: Hash) -> String {
        hash.0.map(|byte| format!("{byte:02x}")).concat()
    }

    /// The eight leaves and roots that Certificate Transparency's own implementations are tested with.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_known_leaves_give_the_known_roots() {
        let mut tree = Frontier::default();
        for (size, root) in ROOTS.iter().enumerate() {
            assert_eq!(shown(tree.root()), *root, "{size} leaves");
            if let Some(leaf) = LEAVES.get(size) {
                tree.push(record_hash(&hex(leaf))).unwrap();
            }
        }
    }

    #[test]
    fn knows_which_peaks_growth_takes_in() {
        assert_eq!(Frontier::peaks_to_merge(0, 5), []);
        assert_eq!(Frontier::peaks_to_merge(7, 1), [(2, 4), (1, 6), (0, 7)]);
        assert_eq!(Frontier::peaks_to_merge(6, 1), []);
        assert_eq!(Frontier::peaks_to_merge(6, 2), [(2, 4), (1, 6)]);
        assert_eq!(Frontier::peaks_to_merge(5, 1), [(0, 5)]);
        for size in 0..70 {
            let mut all = Frontier::default();
            for leaf in 0..size {
                all.push(record_hash(&[leaf])).unwrap();
            }
            for growth in 1..40 {
                let needed = Frontier::peaks_to_merge(size.into(), growth).len();
                let known = all.peaks[all.peaks.len() - needed..].to_vec();
                let (mut some, mut all) = (Frontier::resume(size.into(), known), all.clone());
                for leaf in 0..growth {
                    let leaf = record_hash(&leaf.to_be_bytes());
                    assert_eq!(some.push(leaf), all.push(leaf), "{size} and {growth}");
                }
            }
        }
    }
}
