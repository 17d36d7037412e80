package bulk

import (
	"sync"

	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
)

// place is where a row is, and its number.
type place struct {
	input.Place
	row int64
}

// window knows the places of the users that are in the stream, by their position in it. A part of it is dropped when all its users have been
// told of, so that one request that takes long does not hold those of all that overtake it.
type window struct {
	mu    sync.Mutex
	parts map[int64]*part
	empty []int64 // rows with nothing to set, which are never in the stream
}

const partSize = 512

type part struct {
	places [partSize]place
	taken  int
}

func (w *window) put(position int64, row input.Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.parts[position/partSize]
	if p == nil {
		if w.parts == nil {
			w.parts = map[int64]*part{}
		}
		p = &part{}
		w.parts[position/partSize] = p
	}
	p.places[position%partSize] = place{row.Place, row.Number}
}

// take fills in the places of users.
func (w *window) take(positions []int64, all []outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, position := range positions {
		p := w.parts[position/partSize]
		all[i].place = p.places[position%partSize]
		if p.taken++; p.taken == partSize {
			delete(w.parts, position/partSize)
		}
	}
}

func (w *window) unset(row int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.empty = append(w.empty, row)
}

// drain returns the rows with nothing to set since the last time.
func (w *window) drain() (rows []int64, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rows, w.empty = w.empty, nil
	return rows, int64(len(rows))
}
