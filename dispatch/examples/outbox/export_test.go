package outbox

import "time"

func init() { idle = 4 * time.Second } // so that tests need not wait for a minute
