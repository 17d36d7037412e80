package input

import (
	"fmt"
	"strings"
)

// Rounding finds out if a spreadsheet has rounded accounts: each one that is a number of more than 15 digits, which is all that a spreadsheet keeps,
// has only zeros behind these, and it is not by chance: there are six zeros, of two accounts or more.
type Rounding struct {
	found           string // the last
	zeros, accounts int
	others          bool // there are numbers with more digits
}

// Add looks at an account.
func (r *Rounding) Add(account string) {
	if len(account) <= 15 || strings.Trim(account, "0123456789") != "" || account == r.found {
		return
	}
	if strings.Trim(account[15:], "0") != "" {
		r.others = true
		return
	}
	r.found = strings.Clone(account)
	r.zeros += len(account) - 15
	r.accounts++
}

// Fault returns an error if the accounts are rounded, which says how to give those that are right although they look so.
func (r *Rounding) Fault(instead string) error {
	if r.others || r.zeros < 6 || r.accounts < 2 {
		return nil
	}
	return fmt.Errorf("accounts such as %s have nothing but zeros behind their 15th digit, as a spreadsheet rounds them: format the column as text before the accounts are entered; if they are right, give them %s", r.found, instead)
}
