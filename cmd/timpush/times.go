package main

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // names of zones are read on each machine
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
		if _, err := time.Parse(layout, day); err != nil {
			continue
		}
		place, err := time.LoadLocation(zone)
		if err != nil || zone == "" {
			return time.Time{}, fmt.Errorf("%s %q: there is no time zone %q; write an offset such as +08:00, or a name such as Asia/Shanghai", flag, text, zone)
		}
		at, err := time.ParseInLocation(layout, day, place)
		if err == nil && at.Format(layout) != day {
			err = fmt.Errorf("%s %q: the clocks of %s skip this time; write an offset such as +08:00", flag, text, zone)
		}
		return at, err
	}
	return time.Time{}, wrongTime(flag, text)
}

func wrongTime(flag, text string) error {
	return fmt.Errorf("%s %q: want a time with its zone, such as 2099-01-01T09:00:00+08:00, '2099-01-01 09:00 Asia/Shanghai' or '2099-01-01 01:00 UTC'", flag, text)
}

// span returns the time of --from and --to: without the latter until now, without the former as long as the default.
func span(from, to string, length time.Duration) (begin, end time.Time, err error) {
	end = time.Now().Truncate(time.Second).Add(time.Second) // what has just happened is in it
	if to != "" {
		if end, err = parseTime("--to", to); err != nil {
			return begin, end, err
		}
	}
	begin = end.Add(-length)
	if from != "" {
		begin, err = parseTime("--from", from)
	}
	return begin, end, err
}
