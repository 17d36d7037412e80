package timpush

// Quota is one of the call rates that the service grants an app. A call waits for its own quota only, and a throttle code
// slows down its own quota only, except [ErrAppRateLimited], which slows down all.
type Quota int

// The quotas, with the calls a second that the service documents (tencentcloud.com/document/product/1047/60565 and 1047/60561,
// 1047/67553, 1047/60571, 1047/78839, 1047/71893). [WithQuota] replaces the limiter of one.
const (
	QuotaUsers      Quota = iota // attributes and tags: 100 calls
	QuotaPush                    // Push: 1 call
	QuotaRecipients              // PushTo: 30, 500 or 800 recipients, by the app's plan
	QuotaRevoke                  // Revoke: 1 call
	QuotaTasks                   // scheduled pushes: 5 calls
	QuotaStats                   // statistics: 1 call
	quotaCount
)

// String returns "users", "push", "recipients", "revoke", "tasks" or "stats".
func (q Quota) String() string {
	if q < 0 || q >= quotaCount {
		return "unknown"
	}
	return [...]string{"users", "push", "recipients", "revoke", "tasks", "stats"}[q]
}

// defaultRecipientRate is what every plan allows, the free one too.
const defaultRecipientRate = 30

// callsPerSecond is what the service grants of a quota. A request to recipients may have only one.
func (s *settings) callsPerSecond(q Quota) float64 {
	switch q {
	case QuotaUsers:
		return DefaultQPS
	case QuotaRecipients:
		return float64(s.recipientRate)
	case QuotaTasks:
		return 5
	}
	return 1
}
