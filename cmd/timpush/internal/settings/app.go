package settings

import (
	"fmt"
	"strconv"
)

// LoadApp finds only which app it is, for what needs no key.
func (s *Source) LoadApp() (sdkAppID int, err error) {
	if err := s.readFile(); err != nil {
		return 0, err
	}
	v := s.value(SDKAppID)
	if v.Text == "" {
		return 0, missing(SDKAppID)
	}
	n, err := strconv.Atoi(v.Text)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s (from %s) is no number above 0", SDKAppID, v.From)
	}
	return n, nil
}
