package timpush

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"
)

// A Signer makes UserSigs where the secret key may not be in this process (a vault, a signing service).
// The UserSig must be made for the SDKAppID and the Identifier of the client's [Config].
//
// UserSig returns a new UserSig and the time at which it expires. The client keeps it until four fifths of its life
// are over, or until the server calls it expired; with a zero time it keeps nothing and asks for every attempt.
// It is called for one request at a time; ctx ends with the call that needs the UserSig, and after the attempt timeout
// (see [WithAttemptTimeout]). An error costs one attempt.
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

// signFunc returns the UserSig to use now, and asks for a new one if the server called that one expired.
type signFunc func(ctx context.Context, expired string) (string, error)

// cached keeps the UserSig of s, in a closure for the same reason as the key: see usersigs.
func cached(s Signer, patience time.Duration) signFunc {
	u := &usersigs{signer: s, patience: patience, turn: make(chan struct{}, 1)}
	return func(ctx context.Context, expired string) (string, error) { return u.get(ctx, expired) }
}

// renewPause is how long after a failed renewal the next is tried, while the UserSig at hand is still good.
const renewPause = time.Minute

// usersigs keeps the last UserSig. One request at a time asks the signer for a new one, for at most patience; the others
// use the one at hand as long as it is good.
type usersigs struct {
	signer   Signer
	patience time.Duration
	turn     chan struct{}

	mu               sync.Mutex // guards the following
	usersig          string
	renewAt, expires time.Time
}

func (u *usersigs) get(ctx context.Context, expired string) (string, error) {
	usersig, good, young := u.atHand(expired)
	if young {
		return usersig, nil
	}
	if !takeTurn(ctx, u.turn, !good) {
		return usersig, ended(ctx) // which is nil if another request is renewing it
	}
	defer func() { <-u.turn }()
	if usersig, good, young = u.atHand(expired); young {
		return usersig, nil
	}
	fresh, err := u.renew(ctx)
	if err != nil && good {
		return usersig, nil // early renewal leaves a fifth of its life for the signer to come back
	}
	return fresh, err
}

// atHand returns the last UserSig, whether it can be used, and whether it should.
func (u *usersigs) atHand(expired string) (usersig string, good, young bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now().Round(0)
	good = u.usersig != "" && u.usersig != expired && now.Before(u.expires)
	return u.usersig, good, good && now.Before(u.renewAt)
}

func (u *usersigs) renew(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, u.patience)
	defer cancel()
	fresh, expires, err := u.signer.UserSig(ctx)
	if err == nil && (fresh == "" || strings.Trim(fresh, userSigAlphabet) != "") {
		err = errors.New("the Signer returned what cannot be a UserSig")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now().Round(0)
	if err != nil {
		u.renewAt = now.Add(renewPause)
		return "", fmt.Errorf("no UserSig: %w", err)
	}
	u.usersig, u.expires = fresh, expires.Round(0)
	u.renewAt = now.Add(u.expires.Sub(now) / 5 * 4)
	return fresh, nil
}

// takeTurn takes the turn if it is free, or waits for it until ctx ends.
func takeTurn(ctx context.Context, turn chan struct{}, wait bool) bool {
	select {
	case turn <- struct{}{}:
		return true
	default:
	}
	if !wait {
		return false
	}
	select {
	case turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
