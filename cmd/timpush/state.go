package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
)

// openState opens the checkpoint of a run.
func (j *job) openState(r *bulk.Run) (err error) {
	if err := j.checkResultFiles(); err != nil {
		return err
	}
	if j.restart {
		if err := checkpoint.Forget(j.checkpoint); err != nil {
			return err
		}
	}
	if !j.noCheckpoint {
		if r.Log, err = j.openLog(); err != nil {
			return suggestFlags(err, "--checkpoint")
		}
		j.reportResumed(r.Log)
	}
	return nil
}

// openResults opens the result files of a run, once nothing is left that would refuse it. Those of an earlier run are set aside:
// the run that is beginning may be one of every night, and must not stop for them.
func (j *job) openResults(r *bulk.Run) (err error) {
	known, resumed := []checkpoint.Extent{{}, {}}, false
	if r.Log != nil {
		known, resumed = r.Log.Last.Extents, r.Log.Resumed
	}
	if !resumed {
		for _, name := range []string{j.failures, j.rejects} {
			aside, err := bulk.SetAside(name)
			if err != nil {
				return err
			}
			if aside != "" {
				j.reporter.note("%s is from an earlier run: it is now %s", name, aside)
			}
		}
	}
	if r.Failures, err = bulk.OpenSink(j.failures, resumed, known[0]); err != nil {
		return err
	}
	r.Rejects, err = bulk.OpenSink(j.rejects, resumed, known[1])
	return err
}

// openLog opens the checkpoint. One that belongs to a file which has changed since cannot be resumed by any run: the new
// file is sent from its first row.
func (j *job) openLog() (*checkpoint.Log, error) {
	what, err := j.checkpointJob()
	if err != nil {
		return nil, err
	}
	results := []string{j.failures, j.rejects}
	log, err := checkpoint.Open(j.checkpoint, what, results)
	if !errors.Is(err, checkpoint.ErrOtherInput) {
		return log, err
	}
	j.reporter.note("%v: beginning again with the first row", err)
	if err := checkpoint.Forget(j.checkpoint); err != nil {
		return nil, err
	}
	return checkpoint.Open(j.checkpoint, what, results)
}

func (j *job) reportResumed(log *checkpoint.Log) {
	if !log.Resumed {
		return
	}
	j.reporter.note("resuming from %s: %s finished by earlier runs", j.checkpoint, count(log.Handled.Len(), "row"))
	if log.Lost {
		j.reporter.note("the end of %s is damaged, or the result files have changed: some rows are sent again", j.checkpoint)
	}
}

// suggestFlags says how to write in another directory.
func suggestFlags(err error, flags string) error {
	if cannotWrite(err) {
		return fmt.Errorf("%w: give %s in a directory that can be written to", err, flags)
	}
	return err
}

func cannotWrite(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// checkNames refuses one file for two purposes: what one run writes at its end, or removes, would be lost to the other.
func (j *job) checkNames() error {
	flags := []string{"--failures", "--rejects"}
	names := []string{j.failures, j.rejects}
	if !j.noCheckpoint {
		flags, names = append(flags, "--checkpoint"), append(names, j.checkpoint)
	}
	for i, name := range names {
		for k := range i {
			if sameFile(name, names[k]) {
				return fmt.Errorf("%s %s: it is the file of %s, too: give another one", flags[i], name, flags[k])
			}
		}
	}
	return nil
}

// sameFile reports whether two names are of one file, which need not exist. A device such as /dev/null can be shared.
func sameFile(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	if errOne == nil && errOther == nil {
		return one.Mode().IsRegular() && os.SameFile(one, other)
	}
	return place(a) == place(b)
}

// place is the absolute path of a file that need not exist.
func place(name string) string {
	if there, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		name = filepath.Join(there, filepath.Base(name))
	}
	if whole, err := filepath.Abs(name); err == nil {
		name = whole
	}
	return name
}

// checkResultFiles refuses a result file that is an input.
func (j *job) checkResultFiles() error {
	for _, name := range j.input.Files() {
		in, err := os.Stat(name)
		if err != nil {
			continue // standard input
		}
		for flag, other := range map[string]string{"--failures": j.failures, "--rejects": j.rejects} {
			if out, err := os.Stat(other); err == nil && os.SameFile(in, out) {
				return usage(fmt.Errorf("%s %s: it is the input: give another file", flag, other))
			}
		}
	}
	return nil
}

// closeState closes the checkpoint and the result files of a run. It removes the checkpoint if nothing is left to resume: the
// run is complete, or the first one and has read no row.
func closeState(r *bulk.Run, complete bool) error {
	err := errors.Join(r.Failures.Close(), r.Rejects.Close())
	switch {
	case r.Log == nil:
		return err
	case complete, r.Rows() == 0 && !r.Log.Resumed:
		return errors.Join(err, r.Log.Remove())
	}
	return errors.Join(err, r.Log.Close())
}
