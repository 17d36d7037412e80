package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Bounds of restoring.
const (
	restoreTimeout = 2 * time.Minute
	restoreRounds  = 4
)

var errHurry = errors.New("stopped while restoring")

// restore puts back what the probe has changed, and returns what it could not. It uses the calls that were kept back, and
// goes on although the questions have ended early.
func (s *session) restore(hurry context.Context) (bad []string) {
	s.Say("Restoring the attributes")
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(s.ctx), restoreTimeout, errMute)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(hurry, func() { end(errHurry) })()
	s.ctx, s.err, s.mute = ctx, nil, 0
	s.left += restoreCalls
	for _, a := range s.accounts {
		bad = append(bad, s.restoreAccount(a)...)
	}
	return append(bad, s.deleteTasks()...)
}

// restoreAccount compares an account with what it was until they are the same.
func (s *session) restoreAccount(a *account) []string {
	why := "it still differs"
	for range restoreRounds {
		now := s.read(a)
		if now == nil {
			break // without an answer, or not known any more
		}
		if maps.Equal(now, a.before) {
			return nil
		}
		why = s.correct(a, now)
	}
	if s.err != nil {
		why = s.err.Error()
	}
	if len(a.before) == 0 {
		return []string{fmt.Sprintf("account %q had no attributes (%s)", a.id, why)}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(a.before)) {
		lines = append(lines, fmt.Sprintf("account %q had %q as %q (%s)", a.id, name, a.before[name], why))
	}
	return append(lines, fmt.Sprintf("account %q had no other attributes", a.id))
}

// correct sets and removes what differs from what it was, and returns what the service says if that fails.
func (s *session) correct(a *account, now map[string]string) (why string) {
	why = "it still differs"
	var gone []string
	for name := range now {
		if _, had := a.before[name]; !had {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	if len(gone) > 0 {
		if v := s.remove(a.id, gone...).about(a.id); v.code != 0 {
			why = v.String()
		}
	}
	if len(a.before) > 0 { // all of them: if set_attr replaces, one alone would delete the others
		if v := s.set(a, a.before).about(a.id); v.code != 0 {
			why = v.String()
		}
	}
	return why
}

// deleteTasks deletes the scheduled pushes that the probe has added.
func (s *session) deleteTasks() (bad []string) {
	for _, id := range s.tasks {
		if v := s.deleteTask(id).whole(); v.code != 0 {
			bad = append(bad, fmt.Sprintf("the scheduled push %s to an account that does not exist could not be deleted (%s)", id, v))
		}
	}
	return bad
}

func (s *session) deleteTask(id json.Number) answer {
	return s.post("delete_sched_task", map[string]any{"Sdkappid": s.SDKAppID, "TaskID": id, "Type": "User"})
}
