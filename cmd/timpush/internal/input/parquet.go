package input

import (
	"errors"
	"os"
)

type parquetReader struct{}

func (*parquetReader) share(int64) int64         { return 0 }
func (*parquetReader) next(bool) (record, error) { return record{}, nil }

func newParquet(*os.File, int64, Options) (*parquetReader, error) {
	return nil, errors.New("Parquet files are not supported yet") //nolint:staticcheck // a proper name
}
