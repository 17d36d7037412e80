package redislimiter

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// RedisError reports that no slot could be reserved in Redis. Most causes pass when Redis is back; a wrong client, missing
// rights or a foreign value in the key need an operator, and the text says what to do.
//
// It does not unwrap: a timeout on the way to Redis would look like the end of the caller's context.
type RedisError struct {
	Err error // from go-redis, with advice for some errors
}

// Error returns the text of the cause, which may name the address of Redis and the key, and holds no secrets.
func (e *RedisError) Error() string {
	return "redislimiter: no slot reserved in Redis: " + e.Err.Error()
}

// errMissed ends a Wait that could use none of its slots.
var errMissed = fmt.Errorf("redislimiter: %d slots in a row were missed by more than %v: this process gets too little "+
	"processor time, or the answers of Redis are delayed", maxMissed, missedBy)

// errPastDeadline has the words of a *rate.Limiter, by which a client knows that the limiter's own timeout is not meant, and does not ask again.
func errPastDeadline(wait time.Duration) error {
	return fmt.Errorf("redislimiter: to wait for the next free slot, in %v, would exceed context deadline: %w",
		wait.Round(time.Millisecond), context.DeadlineExceeded)
}

// userInfo is what stands before the host in a URL, which may have no scheme.
var userInfo = regexp.MustCompile(`(dial \w+: (?:lookup|address) ).*@|\S+@`)

// unknownCommand is what Redis says of a command that it does not know, such as AUTH where it has been renamed, with its arguments.
var unknownCommand = regexp.MustCompile(`(?is)(unknown command .*?), with args beginning with.*`)

// withoutSecrets leaves out of an error the password of an address, where a program has given the client a whole URL as that, and the
// arguments of a command that Redis repeats: those of AUTH are the user and the password.
func withoutSecrets(err error) error {
	text := err.Error()
	safe := unknownCommand.ReplaceAllString(userInfo.ReplaceAllString(text, "${1}REDACTED@"), "$1")
	if safe == text {
		return err
	}
	return errors.New(safe)
}

// explain adds to an error of Redis what to do about it.
func (l *Limiter) explain(err error) error {
	err = withoutSecrets(err)
	text := err.Error()
	_, isCluster := l.rdb.(cluster)
	switch {
	case strings.Contains(text, foreignValue), strings.Contains(text, "WRONGTYPE"):
		return fmt.Errorf("the key %q holds a value that redislimiter did not write: delete it, or set another key with WithKeyPrefix: %w", l.key, err)
	case isMoved(text) && isCluster:
		return fmt.Errorf("the nodes of this cluster do not agree which of them has the key, as while one takes over from another: %w", err)
	case isMoved(text):
		return fmt.Errorf("this Redis is a cluster: use redis.NewClusterClient instead of redis.NewClient: %w", err)
	case isReadOnly(err):
		return fmt.Errorf("this Redis is a read-only replica: connect to the master, with Sentinel by redis.NewFailoverClient: %w", err)
	case strings.Contains(text, "NOPERM"), strings.Contains(text, "can't run this command"), strings.Contains(text, "can't access at least one"),
		strings.Contains(text, "ACL failure in script"):
		return fmt.Errorf("the Redis user lacks rights, it needs ~%s +evalsha +eval +get +set +time: %w", l.key, err)
	case strings.HasPrefix(text, "NOAUTH"), strings.Contains(text, "unauthenticated"): // what Redis says of many arguments
		return fmt.Errorf("this Redis wants a password, and the options of its client have none: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", l.timeout)
	}
	return err
}

func isMoved(text string) bool {
	return strings.HasPrefix(text, "MOVED ") || strings.HasPrefix(text, "ASK ")
}

func isReadOnly(err error) bool { return strings.Contains(err.Error(), "READONLY") }
