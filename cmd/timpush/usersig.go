package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	"github.com/timpush/timpush-go"
)

const usersigLong = `Make a UserSig, with which a program signs in as the identifier. It is a secret for as long as it lives.`

const usersigExample = `  timpush usersig --ttl 1h
  timpush usersig --identifier mary
  timpush usersig | timpush usersig inspect`

func newUserSig() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "usersig", Short: "Make a UserSig, or look into one", Long: usersigLong, Example: usersigExample, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < time.Second {
				return usage(errors.New("--ttl: want a second or more"))
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
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long it lives")
	appFlags(cmd.Flags())
	inspect := &cobra.Command{
		Use: "inspect", Short: "Look into a UserSig from standard input", Example: usersigExample, Args: usageArgs(cobra.NoArgs),
		Long: "Read a UserSig from standard input and show whom it is for and until when. If the secret key is configured, its signature is checked.",
		RunE: func(cmd *cobra.Command, _ []string) error { return inspect(cmd) },
	}
	appFlags(inspect.Flags())
	cmd.AddCommand(inspect)
	return cmd
}

// ticket is what a UserSig says.
type ticket struct {
	Version    string `json:"TLS.ver"`
	Identifier string `json:"TLS.identifier"`
	SDKAppID   int    `json:"TLS.sdkappid"`
	Made       int64  `json:"TLS.time"`
	Life       int64  `json:"TLS.expire"`
}

func inspect(cmd *cobra.Command) error {
	text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<16))
	if err != nil {
		return fatal(err)
	}
	sig := strings.TrimSpace(string(text))
	t, err := decodeUserSig(sig)
	if err != nil {
		return fatal(fmt.Errorf("it is no UserSig: %w", err))
	}
	out := cmd.OutOrStdout()
	made, ends := time.Unix(t.Made, 0), time.Unix(t.Made+t.Life, 0)
	_, _ = fmt.Fprintf(out, "app         %d\nidentifier  %s\nmade        %s\nexpires     %s\n",
		t.SDKAppID, t.Identifier, made.Format(time.RFC3339), ends.Format(time.RFC3339))
	expired := time.Now().After(ends)
	if expired {
		_, _ = fmt.Fprintln(out, "it has expired")
	}
	s, err := loadSettings(cmd)
	if err != nil {
		_, _ = fmt.Fprintln(out, "signature   not checked: the app is not configured")
		return exitStatus(expired)
	}
	if err := tencentyun.VerifyUserSig(uint64(s.SDKAppID), s.SecretKey, t.Identifier, sig, made); err != nil {
		_, _ = fmt.Fprintln(out, "signature   WRONG: it was made with another key, or for another app")
		return exitStatus(true)
	}
	_, _ = fmt.Fprintln(out, "signature   right")
	return exitStatus(expired)
}

func decodeUserSig(sig string) (t ticket, err error) {
	packed, err := base64.StdEncoding.DecodeString(strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(sig))
	if err != nil {
		return t, err
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return t, err
	}
	text, err := io.ReadAll(io.LimitReader(z, 1<<16))
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(text, &t)
}

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain CODE...", Short: "What an error code means, and what to do", Example: "  timpush explain 90035", Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			unknown := false
			for _, arg := range args {
				n, err := strconv.Atoi(arg)
				if err != nil {
					return usage(fmt.Errorf("%q is no number", arg))
				}
				code := timpush.Code(n)
				text := code.Error()
				unknown = unknown || strings.HasSuffix(text, "undocumented error code")
				if code.Retryable() {
					text += "\n       It passes by itself: the client tries again, and set-attr puts what is left into the file of failures."
				}
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return exitStatus(unknown)
		},
	}
}
