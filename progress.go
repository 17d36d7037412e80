package timpush

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Progress is the progress of a stream.
type Progress struct {
	Result                // of all users whose outcome has been yielded
	Retries int           // requests that repeated an earlier one or a part of it
	Elapsed time.Duration // since the stream began
	Rate    float64       // users a second, in about the last five seconds
}

// String returns the progress as one line.
func (p Progress) String() string {
	return fmt.Sprintf("%d done, %d rejected, %d unknown, %d not sent; %.0f users/s; %d requests, %d retries",
		p.Done, p.Rejected, p.Unknown, p.NotSent, p.Rate, p.Requests, p.Retries)
}

// settled has the positions of a stream that are settled. It grows only with the distance from the first that is not, which is
// as far as the stream gets while one request is retried.
type settled struct {
	words []uint64 // a bit for each position from base on
	base  int64    // all before it are settled; a multiple of 64
	open  int64    // the first whose outcome is known and does not settle it
}

func (s *settled) add(position int64, open bool) {
	switch {
	case open:
		s.open = min(s.open, position)
		return
	case position > s.open:
		return // upTo never gets there
	}
	at := int(position-s.base) / 64
	for at >= len(s.words) {
		s.words = append(s.words, 0)
	}
	s.words[at] |= 1 << (position % 64)
	for len(s.words) > 0 && s.words[0] == math.MaxUint64 {
		s.words = s.words[1:]
		s.base += 64
	}
}

// upTo returns how many positions from the first on are settled.
func (s *settled) upTo() int64 {
	if len(s.words) == 0 {
		return s.base
	}
	return s.base + int64(bits.TrailingZeros64(^s.words[0]))
}

// rateMeter measures a rate over the last five to ten seconds, or since the beginning.
type rateMeter struct{ older, newer mark }

type mark struct {
	at    time.Duration
	count int
}

func (m *rateMeter) at(now time.Duration, count int) float64 {
	if now-m.newer.at >= 5*time.Second {
		m.older, m.newer = m.newer, mark{now, count}
	}
	if now == m.older.at {
		return 0
	}
	return float64(count-m.older.count) / (now - m.older.at).Seconds()
}
