package timpush

import "context"

// UserAttrNames is one user and the names of the attributes to remove from it.
type UserAttrNames struct {
	ToAccount string   // a UserID or a RegistrationID; case matters
	Names     []string // 1 to MaxAttrsPerUser; those not named are left alone
}

var removeAttr = endpoint{path: "/v4/timpush/remove_attr", open: `{"UserAttrs":[`, close: `]}`, onceOnly: true, write: (*plan).writeNames}

// RemoveAttr removes attributes from users. It works as [Client.SetAttr] does, with the same outcomes and errors. An
// account that comes twice is sent once, with the names of both.
//
// Whether it is an error to remove an attribute that a user does not have is not documented; if it is, what is Unknown after
// a lost answer stays so, since a refusal may mean that it is done. To remove again what is Unknown does no harm, unless
// somebody else has set a new value since. PartialError.Remaining is of no use here: see the indexes of its Users.
//
// API: tencentcloud.com/document/product/1047/60566.
func (c *Client) RemoveAttr(ctx context.Context, users []UserAttrNames) (*Result, error) {
	named := make([]UserAttrs, len(users))
	for i, user := range users {
		named[i] = UserAttrs{user.ToAccount, make(Attrs, len(user.Names))}
		for _, name := range user.Names {
			named[i].Attrs[name] = ""
		}
	}
	return (&call{client: c}).take(ctx, &removeAttr, named, nil)
}

// writeNames writes a user with the names of its attributes.
func (p *plan) writeNames(user *UserAttrs) bool {
	dst, good := appendAccount(p.json, user)
	dst = append(dst, '[')
	for name := range user.Attrs {
		good = good && name != "" && len(name) <= MaxNameBytes
		dst, good = appendText(dst, name, good)
		dst = append(dst, ',')
	}
	p.json = append(withoutComma(dst), `]},`...)
	return good
}
