package input_test

import (
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
)

// TestWorkbookIsNotReadOn: after a signal the rest of a workbook is not checked, which takes half a minute for a large one.
func TestWorkbookIsNotReadOn(t *testing.T) {
	t.Parallel()
	book := excelize.NewFile()
	sheet, err := book.NewStreamWriter("Sheet1")
	require.NoError(t, err)
	require.NoError(t, sheet.SetRow("A1", []any{"To_Account", "city"}))
	for row := 2; row <= 5000; row++ {
		require.NoError(t, sheet.SetRow("A"+strconv.Itoa(row), []any{strconv.Itoa(row), strconv.FormatUint(rand.Uint64(), 36)}))
	}
	require.NoError(t, sheet.Flush())
	name := filepath.Join(t.TempDir(), "u.xlsx")
	require.NoError(t, book.SaveAs(name))

	for stop := 2; stop < 20; stop++ { // also where the names of the sheets are read
		asked := 0
		in, err := input.New([]string{name}, input.Options{Account: "To_Account", Stopped: func() error {
			if asked++; asked >= stop {
				return assert.AnError
			}
			return nil
		}}, nil)
		in.Close()
		require.ErrorIs(t, err, assert.AnError)
		assert.LessOrEqual(t, asked, stop+5, "it is read no further")
	}
}
