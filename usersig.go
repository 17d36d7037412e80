package timpush

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"
)

// A Signer makes UserSigs where the secret key may not be in this process (a vault, a signing service).
// The UserSig must be made for the SDKAppID and the Identifier of the client's [Config].
//
// UserSig returns a new UserSig and the time at which it expires. The client keeps it for four fifths of its lifetime, or
// until the server calls it expired or wrong; with a zero time, or one that has passed by the clock of this machine, it keeps
// nothing and calls UserSig for every attempt. It is called for one request at a time; ctx ends with the call that needs the
// UserSig, and after the attempt timeout (see [WithAttemptTimeout]), so it must be faster than the deadlines of your calls. An error
// costs one attempt of each request that waits for it.
type Signer interface {
	UserSig(ctx context.Context) (usersig string, expires time.Time, err error)
}

type signerFunc func(ctx context.Context) (string, time.Time, error)

func (f signerFunc) UserSig(ctx context.Context) (string, time.Time, error) { return f(ctx) }

// localSigner keeps the key in a closure: fmt prints unexported fields, but no captured variables.
func localSigner(cfg Config, ttl time.Duration) Signer {
	return signerFunc(func(context.Context) (string, time.Time, error) {
		// A UserSig is dated by the wall clock, which goes on while a machine sleeps; the monotonic one does not.
		expires := time.Now().Round(0).Add(ttl)
		usersig, err := tencentyun.GenUserSig(cfg.SDKAppID, cfg.SecretKey, cfg.Identifier, int(ttl/time.Second))
		return usersig, expires, err
	})
}

// userSigAlphabet is base64 with "*", "-" and "_" in place of "+", "/" and "=". It needs no escape in a query.
const userSigAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-_"

// signing provides the UserSig to use. Its functions share a userSigs, in closures for the same reason as the key.
type signing struct {
	get     func(ctx context.Context) (string, error)
	recheck func(usersig string) (now string, good bool) // what to use instead if it has expired or was dropped in the meantime
	drop    func(usersig string, perhaps bool)           // the server says that it is expired or wrong, or perhaps wrong
}

// newSigning keeps the UserSig of s.
func newSigning(s Signer, patience time.Duration) signing {
	u := &userSigs{signer: s, patience: patience, lock: make(chan struct{}, 1)}
	return signing{u.get, u.recheck, u.drop}
}

// renewPause is the pause after a failed renewal, while the last UserSig is still valid.
const renewPause = time.Minute

// dropPause is how old a UserSig is at least that is dropped because it may be wrong: most often something else is, for many requests, and
// if each had another one made, the limiter's tokens of those that wait would be lost, and a distant Signer asked again and again.
const dropPause = 10 * time.Second

// userSigs keeps the last UserSig. One request at a time calls the signer for a new one, for at most patience; the others
// use the last one while it is valid.
type userSigs struct {
	signer   Signer
	patience time.Duration
	lock     chan struct{} // held while the signer runs

	mu               sync.Mutex // guards the following
	usersig          string     // "": none
	made             time.Time
	renewAt, expires time.Time
	failure          error // of the last renewal that failed while its caller had time
	failedAt         time.Time
}

func (u *userSigs) get(ctx context.Context) (string, error) {
	usersig, usable, fresh := u.last()
	if fresh {
		return usersig, nil
	}
	began := time.Now()
	select {
	case u.lock <- struct{}{}:
	default: // another request is renewing it
		if usable || takeLock(ctx, u.lock) != nil {
			return usersig, ended(ctx)
		}
	}
	defer func() { <-u.lock }()
	if usersig, usable, fresh = u.last(); fresh {
		return usersig, nil
	}
	if !usable {
		if err := u.failedSince(began); err != nil {
			return "", err
		}
		return u.renew(ctx)
	}
	ctx, cancel := halfTheTime(ctx) // renewal begins early: a fifth of the lifetime is left, and the call can do without
	defer cancel()
	if renewed, err := u.renew(ctx); err == nil {
		return renewed, nil
	}
	return usersig, nil
}

// last returns the last UserSig, whether it is valid, and whether it need not be renewed yet.
func (u *userSigs) last() (usersig string, usable, fresh bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now().Round(0)
	usable = u.usersig != "" && now.Before(u.expires)
	return u.usersig, usable, usable && now.Before(u.renewAt)
}

// failedSince returns the error of a renewal that failed after a request began to wait for it. If each of many that wait took as long, one
// after the other, a call would wait for hours.
func (u *userSigs) failedSince(began time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failedAt.After(began) {
		return u.failure
	}
	return nil
}

func (u *userSigs) renew(caller context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(caller, u.patience)
	defer cancel()
	renewed, expires, err := u.signer.UserSig(ctx)
	if err == nil && (renewed == "" || strings.Trim(renewed, userSigAlphabet) != "") {
		err = errors.New("the Signer returned a text that cannot be a UserSig")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now().Round(0)
	if err != nil {
		u.renewAt = now.Add(renewPause)
		err = &signerError{foreign(withoutCause(ctx, err))}
		if caller.Err() == nil {
			u.failure, u.failedAt = err, time.Now()
		}
		return "", err
	}
	u.usersig, u.made, u.expires = renewed, time.Now(), expires.Round(0)
	if !u.expires.After(now) { // by this clock, which is wrong, and so does not tell the lifetime
		u.expires = time.Time{}
	}
	u.renewAt = now.Add(u.expires.Sub(now) / 5 * 4)
	return renewed, nil
}

// signerError is an error of a Signer, which costs one attempt, whatever it matches.
type signerError struct{ error }

// Error returns the text of the Signer's error.
func (e *signerError) Error() string { return "no UserSig: " + e.error.Error() }

// Unwrap returns the Signer's error.
func (e *signerError) Unwrap() error { return e.error }

// recheck returns the last UserSig, which may be newer than usersig, if it is still valid, as far as is known, and has not been dropped.
func (u *userSigs) recheck(usersig string) (now string, good bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.usersig != "" && (u.expires.IsZero() || time.Now().Round(0).Before(u.expires)) {
		return u.usersig, true
	}
	return usersig, false
}

func (u *userSigs) drop(usersig string, perhaps bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.usersig == usersig && (!perhaps || time.Since(u.made) >= dropPause) {
		u.usersig = ""
	}
}
