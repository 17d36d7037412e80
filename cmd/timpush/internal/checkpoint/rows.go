package checkpoint

import (
	"cmp"
	"slices"
)

// Rows is a set of rows.
type Rows struct{ runs [][2]int64 }

func (r *Rows) add(runs [][2]int64) { r.runs = append(r.runs, runs...) }

// merge sorts the runs and joins those that touch.
func (r *Rows) merge() {
	slices.SortFunc(r.runs, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	merged := r.runs[:0]
	for _, run := range r.runs {
		if n := len(merged); n > 0 && run[0] <= merged[n-1][1]+1 {
			merged[n-1][1] = max(merged[n-1][1], run[1])
			continue
		}
		merged = append(merged, run)
	}
	r.runs = slices.Clip(merged)
}

// Contains returns a function that reports whether a row is in the set; it must be called in ascending order.
func (r *Rows) Contains() func(row int64) bool {
	runs := r.runs
	return func(row int64) bool {
		for len(runs) > 0 && runs[0][1] < row {
			runs = runs[1:]
		}
		return len(runs) > 0 && runs[0][0] <= row
	}
}

// End returns the number of the row behind the last one in the set, or 0.
func (r *Rows) End() int64 {
	if len(r.runs) == 0 {
		return 0
	}
	return r.runs[len(r.runs)-1][1] + 1
}

// Len returns the number of rows in the set.
func (r *Rows) Len() (n int64) {
	for _, run := range r.runs {
		n += run[1] - run[0] + 1
	}
	return n
}

// Runs returns the runs of rows that are sorted.
func Runs(rows []int64) (runs [][2]int64) {
	for _, row := range rows {
		if n := len(runs); n > 0 && runs[n-1][1]+1 == row {
			runs[n-1][1] = row
			continue
		}
		runs = append(runs, [2]int64{row, row})
	}
	return runs
}
