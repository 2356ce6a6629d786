//! How wide the columns of a table are: as wide as they ask where all fit, else each gives way by its rank.

use super::section::Column;

/// Blank columns between two columns.
pub const GAP: u16 = 2;
/// The rank from which on a column is left out before one of a better rank is cut.
const HELPS: u8 = 3;
/// The widest that a column asks for.
pub const MOST: u16 = 160;

/// The columns' widths in `width` columns of screen; 0: not shown. As they ask where all fit. Else, from the last rank to the first:
/// columns are cut down to what is enough for them, those with most for their weight first; then those that only help are left out,
/// from the right, and what that frees goes to the better ones; then columns are cut down to their minimum. What carries the meaning is
/// cut when nothing else can give.
pub fn fit(columns: &[Column], natural: &[u16], width: u16) -> Vec<u16> {
    let mut widths: Vec<u16> = natural.to_vec();
    let last = columns.iter().map(|column| column.rank).max().unwrap_or(1);
    for rank in (1..=last).rev() {
        squeeze(columns, natural, &mut widths, width, rank, |column| column.enough.max(column.min));
    }
    for rank in (HELPS..=last).rev() {
        leave_out(columns, natural, &mut widths, width, rank);
    }
    for rank in (1..=last).rev() {
        squeeze(columns, natural, &mut widths, width, rank, |column| column.min);
    }
    for rank in (1..=last).rev() {
        leave_out(columns, natural, &mut widths, width, rank);
        squeeze(columns, natural, &mut widths, width, rank, |_| 1);
    }
    while total(&widths) > width {
        let over = total(&widths).saturating_sub(width);
        let Some(last) = widths.iter_mut().rev().find(|width| **width > 0) else { break };
        *last = last.saturating_sub(over);
    }
    widths
}

/// Width of columns with the gaps between those that are shown.
pub fn total(widths: &[u16]) -> u16 {
    let shown = widths.iter().filter(|width| **width > 0);
    shown.fold(0u16, |sum, width| sum.saturating_add(*width).saturating_add(GAP)).saturating_sub(GAP)
}

/// Takes what is too much from the columns of a rank that may be cut, one by one from the widest for its weight, none below `least`.
fn squeeze(
    columns: &[Column],
    natural: &[u16],
    widths: &mut [u16],
    width: u16,
    rank: u8,
    least: impl Fn(&Column) -> u16,
) {
    for _ in 0..total(widths).saturating_sub(width) {
        let give = |index: &usize| -> Option<u32> {
            let (column, asked) = (columns.get(*index)?, *natural.get(*index)?);
            let width = *widths.get(*index)?;
            let may = column.rank == rank && !column.rigid && width > least(column).min(asked);
            may.then(|| u32::from(width).saturating_mul(64) / u32::from(column.weight.max(1)))
        };
        let widest = (0..columns.len()).filter(|index| give(index).is_some()).max_by_key(give);
        match widest.and_then(|index| widths.get_mut(index)) {
            Some(width) => *width = width.saturating_sub(1),
            None => return,
        }
    }
}

/// Leaves out columns of a rank, from the right, while they are too wide; one column is always left.
fn leave_out(columns: &[Column], natural: &[u16], widths: &mut [u16], width: u16, rank: u8) {
    while total(widths) > width && widths.iter().filter(|width| **width > 0).count() > 1 {
        let shown = |index: &usize| widths.get(*index).is_some_and(|width| *width > 0);
        let of_rank = |index: &usize| columns.get(*index).is_some_and(|column| column.rank == rank);
        let Some(index) = (0..columns.len()).rev().find(|index| shown(index) && of_rank(index)) else { return };
        if let Some(hidden) = widths.get_mut(index) {
            *hidden = 0;
        }
        give_back(columns, natural, widths, width);
    }
}

/// Gives what is spare to columns that were cut, those of the first rank first.
fn give_back(columns: &[Column], natural: &[u16], widths: &mut [u16], width: u16) {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|index| columns.get(*index).map_or(u8::MAX, |column| column.rank));
    for index in order {
        let spare = width.saturating_sub(total(widths));
        if let (Some(natural), Some(now)) = (natural.get(index), widths.get_mut(index).filter(|now| **now > 0)) {
            *now = now.saturating_add(spare.min(natural.saturating_sub(*now)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `threads` has them.
    fn threads() -> [Column; 6] {
        [
            Column::right("#"),
            Column::right("Tid"),
            Column::wide("Thread", 2).min(8),
            Column::left("State").rank(3),
            Column::wide("Waits for", 3).rank(1).min(16),
            Column::wide("In", 3).min(12),
        ]
    }

    #[test]
    fn columns_keep_their_natural_width_where_all_fit() {
        assert_eq!(fit(&threads(), &[2, 4, 10, 8, 20, 30], 100), [2, 4, 10, 8, 20, 30]);
    }

    #[test]
    fn what_carries_the_meaning_is_cut_last() {
        // 3 + 4 + 8 + 40 + 12 and four gaps are 75: the state is left out before the wait is cut.
        assert_eq!(fit(&threads(), &[3, 4, 10, 8, 40, 30], 75), [3, 4, 8, 0, 40, 12]);
        let narrow = fit(&threads(), &[3, 4, 10, 8, 40, 30], 60);
        assert_eq!(narrow, [3, 4, 8, 0, 25, 12]);
        assert_eq!(total(&narrow), 60);
    }

    #[test]
    fn what_a_column_that_is_left_out_frees_goes_to_the_better_ones() {
        // 72 columns and four gaps without the state: the names are whole but for the last.
        assert_eq!(fit(&threads(), &[3, 4, 10, 8, 40, 30], 80), [3, 4, 10, 0, 40, 15]);
    }

    #[test]
    fn what_helps_stays_while_the_others_have_enough() {
        let mut columns = threads();
        columns[4] = columns[4].clone().enough(26);
        // 3 + 4 + 8 + 8 + 26 + 12 and five gaps are 71.
        assert_eq!(fit(&columns, &[3, 4, 10, 8, 40, 30], 71), [3, 4, 8, 8, 26, 12]);
        assert_eq!(fit(&columns, &[3, 4, 10, 8, 40, 30], 70), [3, 4, 8, 0, 35, 12]);
    }

    #[test]
    fn a_rigid_column_is_whole_or_left_out() {
        let columns = [Column::rigid("Address"), Column::rigid("Bytes"), Column::wide("Points to", 1).rank(3)];
        for width in 0..80 {
            let widths = fit(&columns, &[14, 23, 20], width);
            assert!([0, 23].contains(&widths[1]), "{width}: {widths:?}");
        }
    }

    #[test]
    fn no_width_makes_a_table_wider_than_its_place_and_the_meaning_never_shrinks_with_more_room() {
        let mut before = 0;
        for width in 0..60 {
            assert!(total(&fit(&threads(), &[6, 7, 40, 9, 90, 160], width)) <= width, "{width}");
        }
        for width in 60..250 {
            let widths = fit(&threads(), &[6, 7, 40, 9, 90, 160], width);
            assert!(total(&widths) <= width, "{width}");
            assert!(widths[4] >= before, "{width}: {widths:?}");
            before = widths[4];
        }
        assert_eq!(before, 90);
    }

    #[test]
    fn weights_share_what_a_rank_has_to_give() {
        let columns = [Column::wide("a", 1).min(1), Column::wide("b", 3).min(1)];
        assert_eq!(fit(&columns, &[40, 40], 42), [10, 30]);
    }
}
