package timpush

import (
	"context"
	"fmt"
	"slices"
)

// UserTags is one user and tags of it. A user can have 100 tags, and the users of an app 1,000 different ones.
type UserTags struct {
	ToAccount string   // a UserID or a RegistrationID; case matters
	Tags      []string // 1 to 10 (100 with ReplaceTags) of at most 50 bytes, without control characters; the number for RemoveTags is not documented
}

var (
	addTags     = tagEndpoint("v4/timpush/add_tag", `{"UserTags":[`, maxAddedTags, joinTags)
	replaceTags = tagEndpoint("v4/timpush/add_tag", `{"Replace":1,"UserTags":[`, maxReplacedTags, func(_, later UserTags) (UserTags, string) { return later, "" })
	removeTags  = removing(tagEndpoint("v4/timpush/remove_tag", `{"UserTags":[`, 0, joinTags))
	clearTags   = removing(accountEndpoint("v4/timpush/clear_all_tags", nil))
	getTags     = accountEndpoint("v4/timpush/get_tag", readUserTags)
)

// tagEndpoint returns an endpoint for users and tags. A most of 0 means any number of tags.
func tagEndpoint(path, prefix string, most int, join func(earlier, later UserTags) (UserTags, string)) endpoint[UserTags] {
	return endpoint[UserTags]{
		command: command{
			path: path, prefix: prefix, suffix: `]}`, quota: QuotaUsers, size: MaxUsersPerRequest,
			repeatable: true, divisible: true,
		},
		account: func(u UserTags) string { return u.ToAccount },
		faults:  func(i int, u UserTags) []*InputError { return userTagsFaults(i, u, most) },
		join:    join,
		appendJSON: func(dst []byte, u UserTags) ([]byte, bool) {
			return appendUserTexts(dst, u.ToAccount, "Tags", u.Tags), len(userTagsFaults(0, u, most)) == 0
		},
	}
}

// removing returns an endpoint that may be refused where nothing is left to remove.
func removing[T any](e endpoint[T]) endpoint[T] {
	e.refusesRepeats = true
	return e
}

// AddTags adds tags to users. It works as [Client.SetAttr] does, with the same outcomes and errors. Tags of an account that
// comes twice are joined; more than 10 of them together are an [*InputErrors]. Adding a tag again changes nothing.
//
// API: tencentcloud.com/document/product/1047/60568.
func (c *Client) AddTags(ctx context.Context, users []UserTags) (*Result, error) {
	return run(ctx, c.engine, &addTags, users)
}

// ReplaceTags gives users these tags and no others. It works as [Client.AddTags] does; for an account that comes twice, the later
// tags win. No tags are an [*InputErrors]: see [Client.ClearTags].
//
// API: tencentcloud.com/document/product/1047/60568.
func (c *Client) ReplaceTags(ctx context.Context, users []UserTags) (*Result, error) {
	return run(ctx, c.engine, &replaceTags, users)
}

// RemoveTags removes tags from users. It works as [Client.AddTags] does. Whether it is an error to remove a tag that a user does
// not have is not documented; so where an answer is lost and the repetition is refused, the outcome stays Unknown.
//
// API: tencentcloud.com/document/product/1047/60569.
func (c *Client) RemoveTags(ctx context.Context, users []UserTags) (*Result, error) {
	return run(ctx, c.engine, &removeTags, users)
}

// ClearTags removes all tags from users. It works as [Client.RemoveTags] does.
//
// API: tencentcloud.com/document/product/1047/60570.
func (c *Client) ClearTags(ctx context.Context, accounts []string) (*Result, error) {
	return run(ctx, c.engine, &clearTags, accounts)
}

// GetTags reads the tags of accounts, any number of them. It works as [Client.GetAttr] does: the map has every account whose
// tags were read, without tags where it has none.
//
// API: tencentcloud.com/document/product/1047/60567.
func (c *Client) GetTags(ctx context.Context, accounts []string) (map[string][]string, error) {
	found := make(map[string][]string, len(accounts))
	e := getTags
	e.onFound = func(i int, tags any) { found[accounts[i]], _ = tags.([]string) }
	result, err := run(ctx, c.engine, &e, accounts)
	if result == nil {
		return nil, err
	}
	return found, err
}

func userTagsFaults(i int, user UserTags, most int) (faults []*InputError) {
	add := func(field, reason string) {
		faults = append(faults, &InputError{Index: i, ToAccount: user.ToAccount, Field: field, Reason: reason})
	}
	if fault := accountFault(user.ToAccount); fault != "" {
		add("", fault)
	}
	switch n := len(distinct(user.Tags)); {
	case n == 0:
		add("Tags", "there are no tags")
	case most > 0 && n > most:
		add("Tags", fmt.Sprintf("there are %d tags, at most %d are allowed", n, most))
	}
	for k, tag := range user.Tags {
		if fault := tagFault(tag); fault != "" {
			add(fmt.Sprintf("Tags[%d]", k), fault)
		}
	}
	return faults
}

func joinTags(earlier, later UserTags) (UserTags, string) {
	tags := distinct(slices.Concat(earlier.Tags, later.Tags))
	if len(tags) > maxAddedTags {
		return earlier, fmt.Sprintf("together with earlier items, the account has more than %d tags", maxAddedTags)
	}
	return UserTags{earlier.ToAccount, tags}, ""
}

// readUserTags reads the tags of accounts. An account that comes with different tags counts as not mentioned.
func readUserTags(body []byte) (any, error) {
	var wire struct {
		UserTags []struct {
			ToAccount text `json:"To_Account"`
			Tags      []value
		}
	}
	if err := unmarshal(body, &wire); err != nil {
		return nil, err
	}
	found := newFindings(len(wire.UserTags), func(a, b []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	})
	for _, user := range wire.UserTags {
		tags := make([]string, len(user.Tags))
		for i, tag := range user.Tags {
			tags[i] = string(tag)
		}
		found.add(string(user.ToAccount), tags)
	}
	return lookup(found.lookup), nil
}
