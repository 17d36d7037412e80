package checkpoint

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// ErrOtherBatch is why a journal cannot be resumed: it belongs to another app, notification or list of accounts.
var ErrOtherBatch = errors.New("it belongs to another batch")

// Batch identifies what a journal belongs to.
type Batch struct {
	App          string `json:"app"`          // SDKAppID and host
	Notification string `json:"notification"` // hash
	Accounts     string `json:"accounts"`     // hash
	Count        int    `json:"count"`        // of the accounts
}

// Group is accounts of a request that have ended in the same way, as runs of positions in the list.
type Group struct {
	Outcome  string     `json:"outcome"` // the text of a timpush.Outcome
	Reason   string     `json:"reason,omitempty"`
	Accounts [][2]int64 `json:"accounts"`
}

// entry is a line of the journal: a request that is about to be sent, or its result. A request is for those accounts between
// the first and the last that were not sent before.
type entry struct {
	Begin  *[2]int `json:"begin,omitempty"`
	TaskID string  `json:"task_id,omitempty"`
	End    []Group `json:"end,omitempty"`
}

type journalHeader struct {
	Version int       `json:"timpush-journal"`
	Begun   time.Time `json:"begun"`
	Batch   Batch     `json:"batch"`
}

const (
	journalBeginning = `{"timpush-journal":`
	whatJournal      = "journal"
	underWay         = "the run was ended while the request was in flight"
)

// Journal records the requests of a batch of pushes, so that no account gets two of them: a line is on the disk before a
// request is sent, and another one after it. Unlike a checkpoint it is not resumed where it is damaged, since lines that are
// lost would be sent again. Only a last line that was not written to its end is removed: nothing was sent after it.
type Journal struct {
	Resumed  bool              // there were earlier runs
	Torn     bool              // the last line was not complete
	Outcomes []timpush.Outcome // by account; NotSent: to be sent
	Reasons  map[int]string    // of accounts that are not Done
	InFlight int               // accounts whose request had no result when the journal was opened; they are Unknown

	chain
	end  int64
	open *[2]int // the request without a result
}

// OpenJournal opens the journal of a batch, or creates it. The error is ErrOtherBatch if it belongs to another one, of which an
// account may have got its push.
func OpenJournal(name string, batch Batch) (*Journal, error) {
	f, err := lock(name, whatJournal)
	if err != nil {
		return nil, err
	}
	j := &Journal{Outcomes: make([]timpush.Outcome, batch.Count), Reasons: map[int]string{}, chain: chain{file: f}}
	if err := j.load(batch); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return j, nil
}

func (j *Journal) load(batch Batch) error {
	r := bufio.NewReader(j.file)
	text, end, ok := j.line(r, 0)
	if !ok {
		return j.begin(batch)
	}
	var h journalHeader
	if err := json.Unmarshal(text, &h); err != nil || h.Version != version || h.Batch.Count < 0 {
		return errors.New("it is not a journal of this version of the tool: move it away, and make sure that its accounts are not sent again")
	}
	j.Outcomes = make([]timpush.Outcome, h.Batch.Count)
	if end, err := j.replay(r, end); err != nil {
		return err
	} else if err = h.Batch.differs(batch, j.file.Name()); err == nil {
		j.Resumed = true
		return j.recover(end)
	} else if j.mayHaveSent() {
		return err
	}
	j.Outcomes, j.Reasons, j.open, j.sum = make([]timpush.Outcome, batch.Count), map[int]string{}, nil, 0
	return j.beginAgain(batch) // as no one has got the other push
}

// replay applies the lines from an offset on, and returns where the last one ends.
func (j *Journal) replay(r *bufio.Reader, end int64) (int64, error) {
	for number := 2; ; number++ {
		text, next, ok := j.line(r, end)
		if !ok {
			break
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil || !j.apply(e) {
			return end, damaged(number)
		}
		end = next
	}
	whole, err := j.hasLine(end)
	if whole {
		err = damaged(j.lines(end) + 1)
	}
	return end, err
}

// mayHaveSent reports whether an account may have got a push.
func (j *Journal) mayHaveSent() bool {
	return j.open != nil || slices.ContainsFunc(j.Outcomes, func(o timpush.Outcome) bool { return o == timpush.Done || o == timpush.Unknown })
}

// begin begins a new journal, unless the file is something else.
func (j *Journal) begin(batch Batch) error {
	if err := j.ours(journalBeginning, whatJournal); err != nil {
		return err
	}
	if whole, err := j.hasLine(0); err != nil || whole {
		return errors.Join(err, damaged(1))
	}
	return j.beginAgain(batch)
}

func (j *Journal) beginAgain(batch Batch) error {
	if err := j.restart(journalHeader{version, time.Now().Truncate(time.Second), batch}); err != nil {
		return err
	}
	j.end = int64(len(j.buf))
	return syncDir(filepath.Dir(j.file.Name()))
}

func damaged(line int) error {
	return fmt.Errorf("line %d is damaged: it cannot be known which accounts have got the notification. Nothing is sent; "+
		"look at the statistics or the callbacks, and send to those who have not got it as a batch of their own", line)
}

// recover removes an incomplete last line, and makes the accounts of a request without a result Unknown.
func (j *Journal) recover(end int64) error {
	size, err := j.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	j.end = end
	if j.Torn = size > end; j.Torn {
		if err := j.cutTo(end); err != nil {
			return err
		}
	}
	if j.open == nil {
		return nil
	}
	group := Group{Outcome: timpush.Unknown.String(), Reason: underWay, Accounts: Runs(j.Unsent(j.open[0], j.open[1]))}
	for _, run := range group.Accounts {
		j.InFlight += int(run[1] - run[0] + 1)
	}
	return j.End("", []Group{group})
}

// hasLine reports whether there is the end of a line after an offset.
func (j *Journal) hasLine(from int64) (bool, error) {
	n, err := countLines(io.NewSectionReader(j.file, from, 1<<62))
	return n > 0, err
}

func (j *Journal) lines(end int64) int {
	n, _ := countLines(io.NewSectionReader(j.file, 0, end)) // for a message
	return n
}

func countLines(r io.Reader) (n int, err error) {
	buffered := bufio.NewReader(r)
	for {
		switch _, err := buffered.ReadSlice('\n'); {
		case err == nil:
			n++
		case errors.Is(err, io.EOF):
			return n, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return n, err
		}
	}
}

// Unsent returns the positions of the accounts from first to last that are to be sent.
func (j *Journal) Unsent(first, last int) (positions []int64) {
	for i := first; i <= last; i++ {
		if j.Outcomes[i] == timpush.NotSent {
			positions = append(positions, int64(i))
		}
	}
	return positions
}

// Begin records that a request for the unsent accounts from first to last is about to be sent. If it fails, the request must
// not be sent.
func (j *Journal) Begin(first, last int) error {
	if err := j.there(); err != nil {
		return err
	}
	return j.append(entry{Begin: &[2]int{first, last}})
}

// ErrMoved is why a journal is of no use to the next run, which would send to all accounts again.
var ErrMoved = errors.New("it was moved, removed or replaced during the run: put it back, or the same command sends to all accounts again")

// there returns an error if the next run would not find the journal under its name.
func (j *Journal) there() error {
	mine, err := j.file.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(j.file.Name()); err != nil || !os.SameFile(now, mine) {
		return fmt.Errorf("%s: %w", j.file.Name(), ErrMoved)
	}
	return nil
}

// Close closes the journal. It fails if the next run would not find it.
func (j *Journal) Close() error { return errors.Join(j.there(), j.chain.Close()) }

// End records the result of the request. Where it cannot be written, the next run takes the accounts for unknown, but Outcomes has it.
func (j *Journal) End(taskID string, groups []Group) error {
	e := entry{TaskID: taskID, End: groups}
	err := j.append(e)
	if err != nil {
		j.apply(e)
	}
	return err
}

// append writes a line to the disk. What a failure has left of it is removed, as far as the disk allows.
func (j *Journal) append(e entry) error {
	sum := j.sum
	err := j.write(e)
	if err == nil {
		err = j.Sync()
	}
	if err != nil {
		j.sum = sum
		_ = j.file.Truncate(j.end)
		_, _ = j.file.Seek(j.end, io.SeekStart)
		return err
	}
	j.end += int64(len(j.buf))
	if !j.apply(e) {
		return errors.New("the tool has written a line to its journal that does not fit")
	}
	return nil
}

// apply applies a line, and reports whether it fits those before it.
func (j *Journal) apply(e entry) bool {
	if e.Begin != nil {
		first, last := e.Begin[0], e.Begin[1]
		fits := j.open == nil && first >= 0 && first <= last && last < len(j.Outcomes)
		j.open = e.Begin
		return fits
	}
	if j.open == nil {
		return false
	}
	first, last := j.open[0], j.open[1]
	left := len(j.Unsent(first, last))
	for _, g := range e.End {
		for _, run := range g.Accounts {
			if run[0] < int64(first) || run[1] > int64(last) {
				return false
			}
			left -= int(run[1] - run[0] + 1)
			j.applyRun(run, g)
		}
	}
	j.open = nil
	return left == 0 // an account that is left out would be sent again
}

func (j *Journal) applyRun(run [2]int64, g Group) {
	outcome, ok := outcomes[g.Outcome]
	if !ok {
		outcome = timpush.Unknown
	}
	for i := int(run[0]); i <= int(run[1]); i++ {
		if j.Outcomes[i] = outcome; outcome != timpush.Done {
			j.Reasons[i] = g.Reason
		} else {
			delete(j.Reasons, i)
		}
	}
}

var outcomes = map[string]timpush.Outcome{
	timpush.Done.String(): timpush.Done, timpush.Rejected.String(): timpush.Rejected,
	timpush.Unknown.String(): timpush.Unknown, timpush.NotSent.String(): timpush.NotSent,
}

// differs returns what another batch has that the journal does not belong to. Its file may have another name by now, with which it would have
// another journal, too.
func (b Batch) differs(now Batch, journal string) error {
	var what string
	switch {
	case b.App != now.App:
		what = fmt.Sprintf("the app was %s and is %s", b.App, now.App)
	case b.Notification != now.Notification:
		what = "the notification is another one"
	case b.Accounts != now.Accounts:
		what = fmt.Sprintf("there were %d accounts, and now there are others, %d. Those that were corrected or added since belong in a file of their own", b.Count, now.Count)
	default:
		return nil
	}
	return fmt.Errorf("%w: %s. Finish that batch with its own file and notification, and --journal %s if its file has another name now; "+
		"to send this notification to all accounts of this file, also to those of that batch, give another --journal, or move this one away", ErrOtherBatch, what, text.Quote(journal))
}

// syncDir writes to the disk that a file has been created: a journal that is gone after a power failure would be begun again.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return syncOpenDir(dir)
}
