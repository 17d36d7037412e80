package main

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // names of zones are read on each machine

	"github.com/spf13/pflag"
)

// utc returns a time as the service has it; "-" if there is none.
func utc(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateTime) + " UTC"
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}

// parseTime reads a time with its zone, which is an offset, UTC or a name.
func parseTime(flag, text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return time.Time{}, wrongTime(flag, text)
	}
	day, zone := strings.TrimSpace(text[:i]), text[i+1:]
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if at, err := time.Parse(layout+" -07:00", day+" "+zone); err == nil {
			return at, nil
		}
		wall, err := time.Parse(layout, day)
		if err != nil {
			continue
		}
		place, err := time.LoadLocation(zone)
		if err != nil || zone == "" {
			return time.Time{}, fmt.Errorf("%s %q: there is no time zone %q; write an offset such as +08:00, or a name such as Asia/Shanghai", flag, text, zone)
		}
		at, err := time.ParseInLocation(layout, day, place)
		if err == nil && at.Format(layout) != wall.Format(layout) {
			err = fmt.Errorf("%s %q: the clocks of %s skip this time; write an offset such as +08:00", flag, text, zone)
		}
		if again, twice := secondTime(at); err == nil && twice {
			const offset = "-07:00"
			err = fmt.Errorf("%s %q: the clocks of %s show this time twice; write %s or %s in place of the name", flag, text, zone, at.Format(offset), again.Format(offset))
		}
		return at, err
	}
	return time.Time{}, wrongTime(flag, text)
}

// secondTime returns the other time at which the clocks of a place show the same, as they are set back between the two.
func secondTime(at time.Time) (again time.Time, twice bool) {
	_, offset := at.Zone()
	start, end := at.ZoneBounds()
	for _, beyond := range []time.Time{start.Add(-time.Second), end} {
		_, other := beyond.Zone()
		again = at.Add(time.Duration(offset-other) * time.Second)
		if _, there := again.Zone(); other != offset && there == other {
			return again, true
		}
	}
	return at, false
}

func wrongTime(flag, text string) error {
	return fmt.Errorf("%s %q: want a time with its zone, such as 2099-01-01T09:00:00+08:00, '2099-01-01 09:00 Asia/Shanghai' or '2099-01-01 01:00 UTC'", flag, text)
}

// span returns the time of --from and --to: without the latter until now, or later by what the service's clock may be ahead, without the
// former as long as the default.
func span(flags *pflag.FlagSet, from, to string, length, ahead time.Duration) (begin, end time.Time, err error) {
	end = time.Now().Truncate(time.Second).Add(time.Second + ahead) // what has just happened is in it
	if flags.Changed("to") {
		if end, err = parseTime("--to", to); err != nil {
			return begin, end, err
		}
	}
	begin = end.Add(-length)
	if flags.Changed("from") {
		begin, err = parseTime("--from", from)
	}
	return begin, end, err
}
