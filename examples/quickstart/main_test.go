package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFake(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "")
	t.Setenv("TIMPUSH_IDENTIFIER", "")
	t.Setenv("TIMPUSH_SECRET_KEY", "")
	t.Setenv("TIMPUSH_REGION", "")
	require.NoError(t, run(t.Context(), "", ""))
	require.ErrorContains(t, run(t.Context(), "mary", "city=Rome"), "real service")
}

func TestRealServiceIsOnlyWrittenToOnDemand(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "-1") // of which NewClient would make no client
	t.Setenv("TIMPUSH_IDENTIFIER", "administrator")
	t.Setenv("TIMPUSH_SECRET_KEY", "no-real-key")
	t.Setenv("TIMPUSH_REGION", "singapore")
	for _, test := range []struct{ account, attr string }{{}, {"mary", ""}, {"", "city=Rome"}, {"mary", "city"}} {
		assert.ErrorContains(t, run(t.Context(), test.account, test.attr), "-account ACCOUNT -attr NAME=VALUE")
	}
	assert.ErrorContains(t, run(t.Context(), "mary", "city=Rome"), "SDKAppID is -1")
}

func TestVariablesAreChecked(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "abc")
	t.Setenv("TIMPUSH_IDENTIFIER", "")
	t.Setenv("TIMPUSH_SECRET_KEY", "no-real-key")
	t.Setenv("TIMPUSH_REGION", "")
	require.ErrorContains(t, run(t.Context(), "", ""), "TIMPUSH_IDENTIFIER and TIMPUSH_REGION")
	t.Setenv("TIMPUSH_IDENTIFIER", "administrator")
	t.Setenv("TIMPUSH_REGION", "mars")
	require.ErrorContains(t, run(t.Context(), "", ""), "TIMPUSH_SDKAPPID")
	t.Setenv("TIMPUSH_SDKAPPID", "1400000000")
	require.ErrorContains(t, run(t.Context(), "", ""), "mars")
}
