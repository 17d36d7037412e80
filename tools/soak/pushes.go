package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// Tags and pushes are in the model of a caller too, under an account and what it got: a tag, or a push by its title.
// An audience is the account "".
const separator, present = "#", "(present)"

var presence = map[bool]string{true: present, false: absent}

// tags adds or replaces a tag of some users, removes it at times, and reads tags back.
func (c *caller) tags() {
	ctx, cancel := c.context()
	defer cancel()
	users := c.users(120)
	tagged := each(users, func(u timpush.UserAttrs) timpush.UserTags {
		return timpush.UserTags{ToAccount: u.ToAccount, Tags: []string{u.Attrs["city"]}}
	})
	what, call, replace := "AddTags", c.client.AddTags, c.IntN(2) == 0
	if replace {
		what, call = "ReplaceTags", c.client.ReplaceTags
	}
	result, err := call(ctx, tagged)
	c.recordCall(what, users, result, err, func(u timpush.UserAttrs, outcome timpush.Outcome) {
		if replace {
			c.untag(u.ToAccount, outcome)
		}
		c.record(u.ToAccount+separator+u.Attrs["city"], present, outcome)
	})
	if c.IntN(2) == 0 {
		result, err = c.client.RemoveTags(ctx, tagged)
		c.recordCall("RemoveTags", users, result, err, func(u timpush.UserAttrs, outcome timpush.Outcome) {
			c.record(u.ToAccount+separator+u.Attrs["city"], absent, outcome)
		})
	}
	found, err := c.client.GetTags(ctx, each(users, account))
	c.logError(err)
	for account, tags := range found {
		c.checkTags(account, tags)
	}
}

// untag records that all tags of an account were to be removed.
func (c *caller) untag(account string, outcome timpush.Outcome) {
	for key := range c.model {
		if strings.HasPrefix(key, account+separator) {
			c.record(key, absent, outcome)
		}
	}
}

// checkTags checks that an account may have those tags that were found, and may be without the others.
func (c *caller) checkTags(account string, tags []string) {
	for key, k := range c.model {
		tag, ours := strings.CutPrefix(key, account+separator)
		if value := presence[slices.Contains(tags, tag)]; ours && !k.mayBe(value) {
			c.fault("GetTags: tag %s of %s is %s; history: %v", tag, account, value, k.history)
		}
	}
}

// pushes sends a push to listed accounts or, at times, to an audience.
func (c *caller) pushes() {
	ctx, cancel := c.context()
	defer cancel()
	c.value++
	title := fmt.Sprint(c.name, " push ", c.value)
	push := timpush.Push{Notification: timpush.Notification{Title: title, Desc: "soak"}}
	if c.IntN(4) == 0 {
		_, err := c.client.Push(ctx, timpush.Audience{TagsOr: []string{"1", "2"}}, push)
		c.logError(err)
		outcome := timpush.Done
		if failed, ok := errors.AsType[*timpush.CallError](err); ok {
			outcome = failed.Outcome
		} else if err != nil {
			c.fault("Push: %v", err)
		}
		c.record(separator+title, present, outcome)
		return
	}
	users := c.users(250)
	result, err := c.client.PushTo(ctx, each(users, account), push)
	c.recordCall("PushTo", users, &result.Result, err, func(u timpush.UserAttrs, outcome timpush.Outcome) {
		c.record(u.ToAccount+separator+title, present, outcome)
	})
}

// pushed returns how often each account, or audience, got each push, by the keys of the model.
func (w *world) pushed() map[string]int {
	times := map[string]int{}
	for _, push := range w.fake.Pushes() {
		var body struct{ OfflinePushInfo struct{ Title string } }
		_ = json.Unmarshal(push.Body, &body) // a push without its title is missed in the model
		accounts := push.Accounts
		if push.Kind != timpushtest.PushBatch {
			accounts = []string{""}
		}
		for _, account := range accounts {
			times[account+separator+body.OfflinePushInfo.Title]++
		}
	}
	w.count("pushed", len(times))
	return times
}
