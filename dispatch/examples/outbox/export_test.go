package outbox

func init() { idle = "2s" } // so that tests need not wait for a minute
