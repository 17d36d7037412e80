package timpushtest

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxSigBytes bounds the inflated size of a UserSig; real ones have about 250 bytes.
const maxSigBytes = 16 << 10

// userSig is the content of a UserSig, page tencentcloud.com/document/product/1047/34385.
type userSig struct {
	identifier   string
	sdkAppID     int64
	time, expire int64 // seconds
	userBuf      string
	mac          string
}

// checkUserSig verifies text for the app of the settings. The order of its checks is not documented.
func (set *settings) checkUserSig(text, identifier string, now time.Time) *refusal {
	sig, err := decodeUserSig(text)
	switch {
	case err != nil:
		return refuse(codeSigIllegal, "usersig cannot be decoded: %v", err)
	case sig.sdkAppID != int64(set.sdkAppID):
		return refuse(codeSigSDKAppID, "usersig was made for another sdkappid")
	case sig.identifier != identifier:
		return refuse(codeSigIdentifier, "usersig was made for another identifier")
	case !hmac.Equal([]byte(sig.mac), []byte(sig.sign(set.secretKey))):
		return refuse(codeSigMismatch, "usersig does not verify")
	case now.Unix()-sig.time-int64(set.ExpiryTolerance/time.Second) > sig.expire:
		return refuse(codeSigExpired, "usersig has expired")
	case set.FutureTimeRefused && sig.time > now.Unix():
		return refuse(codeSigExpired, "usersig is not valid yet")
	}
	return nil
}

// sign returns what TLS.sig must be. The key is used as text.
func (u userSig) sign(key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "TLS.identifier:%s\nTLS.sdkappid:%d\nTLS.time:%d\nTLS.expire:%d\n",
		u.identifier, u.sdkAppID, u.time, u.expire)
	if u.userBuf != "" {
		fmt.Fprintf(mac, "TLS.userbuf:%s\n", u.userBuf)
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func decodeUserSig(text string) (userSig, error) {
	// The decoder skips line ends, and the characters of plain base64 are not those of a UserSig.
	if strings.ContainsAny(text, "+/=\r\n") {
		return userSig{}, errors.New("foreign character")
	}
	plain := strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(text)
	packed, err := base64.StdEncoding.Strict().DecodeString(plain)
	if err != nil {
		return userSig{}, errors.New("not base64")
	}
	data, err := inflate(packed)
	if err != nil {
		return userSig{}, err
	}
	return parseUserSig(data)
}

func inflate(packed []byte) ([]byte, error) {
	src := bytes.NewReader(packed)
	zr, err := zlib.NewReader(src)
	if err != nil {
		return nil, errors.New("not zlib")
	}
	data, err := io.ReadAll(io.LimitReader(zr, maxSigBytes+1))
	switch {
	case err != nil:
		return nil, errors.New("not zlib")
	case len(data) > maxSigBytes:
		return nil, errors.New("too long")
	case src.Len() > 0:
		return nil, errors.New("data after the end")
	}
	return data, nil
}

// parseUserSig reads the fields by their exact names, which a struct would not.
func parseUserSig(data []byte) (userSig, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return userSig{}, errors.New("not a JSON object")
	}
	var u userSig
	var version string
	for name, target := range map[string]any{
		"TLS.ver": &version, "TLS.identifier": &u.identifier, "TLS.sdkappid": &u.sdkAppID,
		"TLS.time": &u.time, "TLS.expire": &u.expire, "TLS.sig": &u.mac,
	} {
		if raw := fields[name]; string(raw) == "null" || json.Unmarshal(raw, target) != nil {
			return userSig{}, fmt.Errorf("%s is missing or wrong", name)
		}
	}
	if buf, ok := fields["TLS.userbuf"]; ok && json.Unmarshal(buf, &u.userBuf) != nil {
		return userSig{}, errors.New("TLS.userbuf is wrong")
	}
	if version != "2.0" || u.time < 0 || u.expire < 0 {
		return userSig{}, errors.New("TLS.ver, TLS.time or TLS.expire is wrong")
	}
	return u, nil
}
