package timpush

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"
)

// A Signer makes UserSigs where the secret key may not be in this process (a vault, a signing service).
// The UserSig must be made for the SDKAppID and the Identifier of the client's [Config].
//
// UserSig returns a new UserSig and the time at which it expires. The client keeps it until four fifths of its life
// are over, or until the server calls it expired; with a zero time it keeps nothing and asks for every attempt.
// It is called for one request at a time; ctx ends with the call that needs the UserSig. An error costs one attempt.
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

// signFunc returns the UserSig to use now. It never returns the one given as refused, which the server called expired.
type signFunc func(ctx context.Context, refused string) (string, error)

// cached keeps the UserSig of s in a closure, for the same reason as the key, and lets one request at a time renew it.
func cached(s Signer) signFunc {
	var (
		turn             = make(chan struct{}, 1)
		usersig          string
		renewAt, expires time.Time
	)
	return func(ctx context.Context, refused string) (string, error) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return "", ctx.Err()
		}
		now := time.Now().Round(0)
		usable := usersig != "" && usersig != refused && now.Before(expires)
		if usable && now.Before(renewAt) {
			return usersig, nil
		}
		fresh, until, err := s.UserSig(ctx)
		if err == nil && (fresh == "" || strings.Trim(fresh, userSigAlphabet) != "") {
			err = errors.New("the Signer returned what cannot be a UserSig")
		}
		if err != nil && usable {
			return usersig, nil // early renewal leaves a fifth of its life for the signer to come back
		}
		if err != nil {
			return "", fmt.Errorf("no UserSig: %w", err)
		}
		usersig, expires = fresh, until.Round(0)
		renewAt = now.Add(expires.Sub(now) / 5 * 4)
		return usersig, nil
	}
}
