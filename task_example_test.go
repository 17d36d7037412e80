package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// A task whose answer was lost may exist: look for it before you add it again.
func ExampleClient_AddTask() {
	server := timpushtest.NewServer(timpushtest.WithAttrNames("level"))
	defer server.Close()
	client := server.Client()
	server.Inject(timpushtest.CutAfter()) // the answer is lost
	at := time.Now().Add(24 * time.Hour)
	id, err := client.AddTask(context.Background(), timpush.Schedule{
		At: at,
		TaskContent: timpush.TaskContent{
			To:   timpush.Audience{AttrsAnd: timpush.Attrs{"level": "gold"}},
			Push: timpush.Push{Notification: timpush.Notification{Title: "A present for you"}},
		},
	})
	var failed *timpush.CallError
	if errors.As(err, &failed) && failed.Outcome == timpush.Unknown {
		query := timpush.TaskQuery{BeginTime: time.Now().Add(-time.Hour), EndTime: at, Keyword: "A present for you"}
		for task, err := range client.Tasks(context.Background(), query) {
			if err != nil {
				fmt.Println(err)
				return
			}
			id = task.TaskID
		}
	} else if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("task", id)
	// Output: task 4294967297
}
