package bulk_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/cmd/timpush/internal/bulk"
	"github.com/timpush/timpush-go/cmd/timpush/internal/checkpoint"
)

// TestFileOfARunThatEnds has runs that remove their empty result file while others open one of the same name.
func TestFileOfARunThatEnds(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "failures.ndjson")
	var runs sync.WaitGroup
	for range 4 {
		runs.Go(func() {
			for range 500 {
				s, err := bulk.OpenSink(name, false, checkpoint.Extent{})
				if err != nil { // another run is writing it
					continue
				}
				if _, err := os.Stat(name); err != nil {
					t.Error("the file of a run was removed:", err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	runs.Wait()
	require.NoFileExists(t, name)
}
