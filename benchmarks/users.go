package main

import (
	"iter"
	"math"
	"strconv"

	"github.com/timpush/timpush-go"
)

const endless = math.MaxInt

// users yields as many users as told. Their accounts are used in turn, so that a fake need not keep more than these. Each
// user is made anew, as one that comes from a database is.
func users(total, accounts int) iter.Seq2[timpush.UserAttrs, error] {
	return func(yield func(timpush.UserAttrs, error) bool) {
		for i := range total {
			if !yield(user(i%accounts), nil) {
				return
			}
		}
	}
}

func user(i int) timpush.UserAttrs {
	return timpush.UserAttrs{
		ToAccount: "user-" + strconv.Itoa(i),
		Attrs:     timpush.Attrs{"sex": "female", "city": "NewYork", "country": "US"},
	}
}

// someUsers returns n users, from the given one on.
func someUsers(from, n int) []timpush.UserAttrs {
	some := make([]timpush.UserAttrs, n)
	for i := range some {
		some[i] = user(from + i)
	}
	return some
}
