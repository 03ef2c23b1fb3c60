//! Sorts long lists so that whoever sorts can be stopped meanwhile.

/// So many are sorted between two questions whether to stop: some milliseconds on a slow processor.
pub(super) const LOT: usize = 16 * 1024;

/// Sorts by `key`; `false` when it was stopped. Then all are still there, in any order. Like
/// `sort_unstable_by_key` it needs no memory of its own.
///
/// A long list is first parted in its middle, which takes one pass, and each half is sorted like this.
pub(super) fn sort<T, K: Ord>(
    list: &mut [T],
    key: &impl Fn(&T) -> K,
    stop: &mut dyn FnMut() -> bool,
) -> bool {
    if stop() {
        return false;
    }
    if list.len() <= LOT {
        list.sort_unstable_by_key(key);
        return true;
    }
    let middle = list.len() / 2;
    list.select_nth_unstable_by_key(middle, key);
    let (low, high) = list.split_at_mut(middle);
    sort(low, key, stop) && sort(high, key, stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(count: u64) -> Vec<u64> {
        (0..count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).collect()
    }

    #[test]
    fn sorts_as_the_library_does() {
        for count in [0, 1, 2, 1_000, 5 * LOT as u64 + 3] {
            let mut ours = mixed(count);
            let mut theirs = ours.clone();
            theirs.sort_unstable();
            assert!(sort(&mut ours, &|n| *n, &mut || false));
            assert_eq!(ours, theirs, "{count}");
        }
    }

    #[test]
    fn stops_wherever_it_is_told_to_and_loses_nothing() {
        let all = mixed(5 * LOT as u64);
        let mut sum: Vec<_> = all.clone();
        sum.sort_unstable();
        for most in 0.. {
            let (mut ours, mut asked) = (all.clone(), 0);
            let stop = &mut || {
                asked += 1;
                asked > most
            };
            if sort(&mut ours, &|n| *n, stop) {
                assert!(most > 8, "it was asked only {most} times");
                break;
            }
            assert_eq!(asked, most + 1, "nothing is done after that");
            ours.sort_unstable();
            assert!(ours == sum);
        }
    }
}
