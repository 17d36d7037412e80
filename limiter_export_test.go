package timpush

// What the tests of the limiters need.
var (
	NewRecipientLimiter = newRecipientLimiter
	WaitLimiter         = waitLimiter
)
