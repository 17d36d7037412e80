package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/timpush/timpush-go/timpushtest"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	push := timpushtest.Start(t)
	push.Refuse(70107, "stranger")
	service := handler(push.Client())
	login := func(query string) int {
		w := httptest.NewRecorder()
		service.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login?"+query, nil))
		return w.Code
	}
	assert.Equal(t, http.StatusNoContent, login("user=xiaoming&city=ShenZhen"))
	assert.Equal(t, map[string]string{"city": "ShenZhen"}, push.Attrs("xiaoming"))
	assert.Equal(t, http.StatusBadRequest, login("city=ShenZhen"))
	assert.Equal(t, http.StatusConflict, login("user=stranger&city=ShenZhen"))
	push.Inject(timpushtest.ErrorCode(60020))
	assert.Equal(t, http.StatusServiceUnavailable, login("user=xiaoming&city=Rome"))
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Setenv("TIMPUSH_SDKAPPID", "abc")
	_, err := newClient()
	assert.ErrorContains(t, err, "TIMPUSH_SDKAPPID")
	t.Setenv("TIMPUSH_SDKAPPID", "1400000000")
	t.Setenv("TIMPUSH_REGION", "mars")
	_, err = newClient()
	assert.ErrorContains(t, err, "mars")
}
