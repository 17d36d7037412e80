package timpush_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/timpush/timpush-go"
)

// The handler stands for the callback URL of the console. What the func stores must not change when an event comes again.
func ExampleNewCallbackHandler() {
	type key struct {
		task, account string
		stage         timpush.PushStage
	}
	seen := map[key]bool{} // stands for a table with this key
	handler, err := timpush.NewCallbackHandler(timpush.Callbacks{
		SDKAppID: 1400000000,
		Push: func(_ context.Context, events []timpush.PushEvent) error {
			for _, e := range events {
				seen[key{e.TaskID, e.ToAccount, e.PushStage}] = e.ErrCode == 0
			}
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	const target = "/callback?SdkAppid=1400000000&CallbackCommand=Push.AllMemberPush&contenttype=json"
	const body = `{"Events":[{"CallbackCommand":"Push.AllMemberPush","EventType":1,"TaskId":"660cc447","EventTime":1764288000,
		"To_Account":"mary","PushPlatform":1,"PushStage":3,"ErrCode":0}]}`
	for range 2 { // the service may send an event again
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, strings.NewReader(body)))
		fmt.Println(answer.Code, answer.Body)
	}
	for k, ok := range seen {
		fmt.Println(k.account, k.stage, ok)
	}
	// Output:
	// 200 {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
	// 200 {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
	// mary clicked true
}
