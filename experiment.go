//go:build goexperiment.jsonv2 && !go1.27

package timpush

// With this experiment, github.com/go-json-experiment/json is encoding/json/v2 of Go 1.26, which does not know the option "embed" and ignores
// it: a push would go out without the members in its Extra, as done, and no error would show that. So this does not compile.
var _ = goExperimentJSONv2NeedsGo127
