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

// window has the places of the users that are in the stream, by their position in it. A part of it is dropped when all its
// users have a result, so that a slow request does not keep those of all that overtake it.
type window struct {
	mu    sync.Mutex
	parts map[int64]*part
	empty []int64 // rows with nothing to set, which are never in the stream
}

const partSize = 512

type part struct {
	places  [partSize]place
	removed int
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

// remove sets the places of users, and removes them.
func (w *window) remove(positions []int64, all []outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, position := range positions {
		p := w.parts[position/partSize]
		all[i].place = p.places[position%partSize]
		if p.removed++; p.removed == partSize {
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
func (w *window) drain() (rows []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rows, w.empty = w.empty, nil
	return rows
}
