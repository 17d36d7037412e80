package main

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/timpush/timpush-go/timpushtest"
)

// jumpingSigner makes UserSigs as on a machine whose clock jumps: mostly it is right, at times days behind or ahead. The
// service then calls a UserSig expired that the client believes to be new.
type jumpingSigner struct {
	id         int
	admin, key string
	mu         sync.Mutex
	random     *rand.Rand
}

func newJumpingSigner(fake *timpushtest.Server, seed uint64) *jumpingSigner {
	id, admin, key := fake.App()
	return &jumpingSigner{id: id, admin: admin, key: key, random: rand.New(rand.NewPCG(seed, 0))}
}

// UserSig makes a UserSig for a day by the clock that jumps.
func (s *jumpingSigner) UserSig(context.Context) (string, time.Time, error) {
	s.mu.Lock()
	jump := pick(s.random, 0, 0, 0, -3, 3) * 24
	s.mu.Unlock()
	const life = 24 * time.Hour
	now := time.Now().Add(time.Duration(jump) * time.Hour)
	// A tenth of a second: the clock is right again when the client looks at it next.
	return sign(s.id, s.admin, s.key, now, life), time.Now().Add(100 * time.Millisecond), nil
}

// sign makes a UserSig as the vendor documents it (tencentcloud.com/document/product/1047/34385).
func sign(id int, admin, key string, now time.Time, life time.Duration) string {
	seconds := int(life / time.Second)
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = fmt.Fprintf(mac, "TLS.identifier:%s\nTLS.sdkappid:%d\nTLS.time:%d\nTLS.expire:%d\n", admin, id, now.Unix(), seconds)
	text, err := json.Marshal(map[string]any{
		"TLS.ver": "2.0", "TLS.identifier": admin, "TLS.sdkappid": id, "TLS.expire": seconds, "TLS.time": now.Unix(),
		"TLS.sig": base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	})
	if err != nil {
		panic(err)
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = w.Write(text)
	_ = w.Close()
	return strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(packed.Bytes()))
}
