package main

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestFake(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "")
	t.Setenv("TIMPUSH_IDENTIFIER", "")
	t.Setenv("TIMPUSH_SECRET_KEY", "")
	t.Setenv("TIMPUSH_REGION", "")
	t.Setenv("TIMPUSH_BASE_URL", "")
	require.NoError(t, run(t.Context(), "", ""))
	require.ErrorContains(t, run(t.Context(), "mary", "city=Rome"), "for the service")
	t.Setenv("TIMPUSH_BASE_URL", "http://127.0.0.1:1")
	require.ErrorContains(t, run(t.Context(), "", ""), "set TIMPUSH_SDKAPPID")
}

// With the settings that timpush serve prints nothing leaves the machine.
func TestBaseURL(t *testing.T) {
	server := timpushtest.Start(t, timpushtest.WithPlainHTTP())
	id, identifier, key := server.App()
	t.Setenv("TIMPUSH_SDKAPPID", strconv.Itoa(id))
	t.Setenv("TIMPUSH_IDENTIFIER", identifier)
	t.Setenv("TIMPUSH_SECRET_KEY", key)
	t.Setenv("TIMPUSH_REGION", "singapore")
	t.Setenv("TIMPUSH_BASE_URL", server.URL)
	require.NoError(t, run(t.Context(), "mary", "city=Rome"))
	assert.Equal(t, "Rome", server.Attrs("mary")["city"])
}

func TestServiceIsOnlyWrittenToOnDemand(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "-1") // of which NewClient would make no client
	t.Setenv("TIMPUSH_IDENTIFIER", "administrator")
	t.Setenv("TIMPUSH_SECRET_KEY", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	t.Setenv("TIMPUSH_REGION", "singapore")
	for _, test := range []struct{ account, attr string }{{}, {"mary", ""}, {"", "city=Rome"}, {"mary", "city"}} {
		assert.ErrorContains(t, run(t.Context(), test.account, test.attr), "-account ACCOUNT -attr NAME=VALUE")
	}
	assert.ErrorContains(t, run(t.Context(), "mary", "city=Rome"), "SDKAppID is -1")
	assert.ErrorContains(t, run(t.Context(), "mary", "city=New", "York"), `"York": no flag takes it`)
}

func TestVariablesAreChecked(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "abc")
	t.Setenv("TIMPUSH_IDENTIFIER", "")
	t.Setenv("TIMPUSH_SECRET_KEY", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	t.Setenv("TIMPUSH_REGION", "")
	require.ErrorContains(t, run(t.Context(), "", ""), "TIMPUSH_IDENTIFIER and TIMPUSH_REGION")
	t.Setenv("TIMPUSH_IDENTIFIER", "administrator")
	t.Setenv("TIMPUSH_REGION", "mars")
	err := run(t.Context(), "", "")
	require.ErrorContains(t, err, "TIMPUSH_SDKAPPID")
	assert.NotContains(t, err.Error(), "abc", "it may be the secret key")
	t.Setenv("TIMPUSH_SDKAPPID", "1400000000")
	require.ErrorContains(t, run(t.Context(), "", ""), "mars")
}
