// Package timpush is a client of the admin API of Tencent Cloud Chat's push service.
package timpush
