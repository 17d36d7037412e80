package timpush

import (
	"context"
	"fmt"
	"slices"
)

// UserAttrNames is one user and the names of the attributes to remove from it.
type UserAttrNames struct {
	ToAccount string   // a UserID or a RegistrationID; case matters
	Names     []string // 1 to MaxAttrsPerUser; those not named are left alone
}

var removeAttr = endpoint[UserAttrNames]{
	command: command{
		path: "v4/timpush/remove_attr", prefix: `{"UserAttrs":[`, suffix: `]}`, quota: QuotaUsers, size: MaxUsersPerRequest,
		repeatable: true, divisible: true, refusesRepeats: true, impersonal: true,
	},
	account: func(u UserAttrNames) string { return u.ToAccount },
	faults:  userAttrNamesFaults,
	join:    mergeNames,
	appendJSON: func(dst []byte, u UserAttrNames) ([]byte, bool) {
		return appendUserTexts(dst, u.ToAccount, "Attrs", u.Names), len(userAttrNamesFaults(0, u)) == 0
	},
}

// RemoveAttr removes attributes from users. It works as [Client.SetAttr] does, with the same outcomes and errors. An
// account that comes twice is sent once, with the names of both. [Remaining] returns what is worth removing again.
//
// Whether it is an error to remove an attribute that a user does not have is not documented; if it is, what is Unknown after
// a lost answer remains so, since a refusal may mean that it is removed already. Removing again what is Unknown does no harm, unless
// another program has set a new value since.
//
// API: tencentcloud.com/document/product/1047/60566.
func (c *Client) RemoveAttr(ctx context.Context, users []UserAttrNames) (*Result, error) {
	return run(ctx, c.engine, &removeAttr, users)
}

func userAttrNamesFaults(i int, user UserAttrNames) (faults []*InputError) {
	add := func(attr, reason string) {
		faults = append(faults, &InputError{Index: i, ToAccount: user.ToAccount, Attr: attr, Reason: reason})
	}
	if fault := accountFault(user.ToAccount); fault != "" {
		add("", fault)
	}
	switch n := len(distinct(user.Names)); {
	case n == 0:
		add("", "there are no names of attributes to remove")
	case n > MaxAttrsPerUser:
		add("", fmt.Sprintf("there are %d names, at most %d are allowed", n, MaxAttrsPerUser))
	}
	for _, name := range user.Names {
		if fault := nameFault(name); fault != "" {
			add(name, fault)
		}
	}
	return faults
}

// distinct returns the texts without repeated ones, in their order.
func distinct(texts []string) []string {
	kept, seen := make([]string, 0, len(texts)), make(map[string]bool, len(texts))
	for _, text := range texts {
		if !seen[text] {
			kept = append(kept, text)
		}
		seen[text] = true
	}
	return kept
}

func mergeNames(earlier, later UserAttrNames) (UserAttrNames, string) {
	names := distinct(slices.Concat(earlier.Names, later.Names))
	if len(names) > MaxAttrsPerUser {
		return earlier, fmt.Sprintf("together with earlier items, the account has more than %d attributes", MaxAttrsPerUser)
	}
	return UserAttrNames{earlier.ToAccount, names}, ""
}

// appendUserTexts appends an account and its texts, each once, as the member of that name.
func appendUserTexts(dst []byte, account, member string, texts []string) []byte {
	dst = append(dst, `{"To_Account":`...)
	dst, _ = appendText(dst, account)
	dst = append(dst, `,"`+member+`":[`...)
	for _, text := range distinct(texts) {
		dst, _ = appendText(dst, text)
		dst = append(dst, ',')
	}
	return append(withoutComma(dst), `]}`...)
}
