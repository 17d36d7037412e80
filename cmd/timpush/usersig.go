package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/settings"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

const usersigLong = `Make a UserSig, with which a program signs in as the identifier. Until it expires it must be kept secret.`

const usersigExample = `  timpush usersig --ttl 1h
  timpush usersig --identifier mary
  timpush usersig | timpush usersig inspect`

func newUserSig() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "usersig", Short: "Make or inspect a UserSig", Long: usersigLong, Example: usersigExample, Args: usageArgs(known),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < time.Second || ttl/time.Second > math.MaxInt32 {
				return usage(errors.New("--ttl: want a second or more, and at most 68 years"))
			}
			_, s, err := newClient(cmd)
			if err != nil {
				return err
			}
			sig, err := tencentyun.GenUserSig(s.SDKAppID, s.SecretKey, s.Identifier, int(ttl/time.Second))
			if err != nil {
				return fatal(err)
			}
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), sig)
			return nil
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "`time` until it expires")
	appFlags(cmd.Flags())
	inspect := &cobra.Command{
		Use: "inspect", Short: "Show the contents of a UserSig from standard input", Example: usersigExample,
		Args: usageArgs(func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("give the UserSig on standard input, as others can see command lines")
			}
			return nil
		}),
		Long: "Read a UserSig from standard input and show its app, its identifier and when it expires. If the secret key is configured, the\nsignature is checked.",
		RunE: func(cmd *cobra.Command, _ []string) error { return inspect(cmd) },
	}
	appFlags(inspect.Flags())
	cmd.AddCommand(inspect)
	return cmd
}

// contents are the contents of a UserSig.
type contents struct {
	Version    string `json:"TLS.ver"`
	Identifier string `json:"TLS.identifier"`
	SDKAppID   int    `json:"TLS.sdkappid"`
	Made       int64  `json:"TLS.time"`
	Life       int64  `json:"TLS.expire"`
}

func inspect(cmd *cobra.Command) error {
	s, missing := loadSettings(cmd)
	if missing != nil && !settings.OnlyMissing(missing) {
		return missing
	}
	sig := ""
	for line, err := range text.Lines(cmd.InOrStdin(), 1<<16) {
		switch {
		case err != nil:
			return fatal(fmt.Errorf("stdin: %w", err))
		case sig != "":
			return fatal(fmt.Errorf("stdin: want one UserSig, and there is more in line %d", line.Number))
		}
		sig = line.Text
	}
	t, err := decodeUserSig(sig)
	if err != nil {
		return fatal(fmt.Errorf("this is not a UserSig: %w", err))
	}
	out := cmd.OutOrStdout()
	made, ends := time.Unix(t.Made, 0), time.Unix(t.Made+t.Life, 0)
	_, _ = fmt.Fprintf(out, "app         %d\nidentifier  %s\nmade        %s\nexpires     %s\n",
		t.SDKAppID, text.Plain(t.Identifier), made.Format(time.RFC3339), ends.Format(time.RFC3339))
	expired := time.Now().After(ends)
	if expired {
		_, _ = fmt.Fprintln(out, "it has expired")
	}
	if missing != nil {
		_, _ = fmt.Fprintln(out, "signature   not checked: the app is not configured")
		return exitStatus(expired)
	}
	if err := tencentyun.VerifyUserSig(uint64(s.SDKAppID), s.SecretKey, t.Identifier, sig, made); err != nil {
		_, _ = fmt.Fprintln(out, "signature   WRONG: made with another key, or for another app")
		return exitStatus(true)
	}
	_, _ = fmt.Fprintln(out, "signature   valid")
	return exitStatus(expired)
}

func decodeUserSig(sig string) (t contents, err error) {
	packed, err := base64.StdEncoding.DecodeString(strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(sig))
	if err != nil {
		return t, err
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return t, err
	}
	decoded, err := io.ReadAll(io.LimitReader(z, 1<<16))
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(decoded, &t)
}

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain CODE...", Short: "Explain error codes, and what to do about them", Example: "  timpush explain 90035", Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			unknown := false
			for _, arg := range args {
				n, err := strconv.Atoi(arg)
				if err != nil {
					return usage(fmt.Errorf("%q is not a number", arg))
				}
				code := timpush.Code(n)
				meaning := code.Error()
				unknown = unknown || strings.HasSuffix(meaning, "undocumented error code")
				if code.Retryable() {
					meaning += "\n       This is a temporary error: the client repeats the request, and set-attr writes users that still fail to FILE.failed.ndjson."
				}
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), meaning)
			}
			return exitStatus(unknown)
		},
	}
}
