package main_test

import (
	"cmp"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestGetAndRemoveAttr(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithKnownAccounts("mary", "bob", "<ann>"))
	w.write("u.ndjson", `{"To_Account":"mary","city":"Rome","sex":"f"}`+"\n"+`{"To_Account":"<ann>","city":"Bonn"}`)
	require.Equal(t, 0, w.run("set-attr", "u.ndjson").code)
	r := w.run("get-attr", "mary", "bob", "unknown", "<ann>")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.out, `{"To_Account":"mary","Attrs":{"city":"Rome","sex":"f"}}`)
	assert.Contains(t, r.out, `{"To_Account":"bob","Attrs":{}}`)
	assert.Contains(t, r.out, `{"To_Account":"<ann>","Attrs":{"city":"Bonn"}}`)
	assert.Contains(t, r.err, `"unknown" rejected: `)
	assert.Contains(t, r.err, "70107")

	w.in = "mary\n\nunknown\r\n"
	r = w.run("remove-attr", "--names", "city,country", "--file", "-")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.out, "1 done")
	assert.Equal(t, map[string]string{"sex": "f"}, w.fake.Attrs("mary"))
	for _, args := range [][]string{
		{"remove-attr", "mary"}, {"get-attr"}, {"get-attr", "--file", "x", "mary"}, {"get-attr", "mary", ""}, {"remove-attr", "--names", "a,,b", "mary"}, {"revoke", "", "--yes"},
	} {
		assert.Equal(t, 2, w.run(args...).code, args)
	}
	assert.Equal(t, 3, w.run("get-attr", "--file", "missing").code)
}

// TestOutageEndsCommands: a list of any length is not tried to its end while no request succeeds, and the exit code is not that of some
// accounts alone.
func TestOutageEndsCommands(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"get-attr", "remove-attr --names city", "tags add --tags gold", "tags get"} {
		w := newWorld(t)
		w.fake.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.Answer(403, "by a proxy") })
		w.write("list", strings.Repeat("mary\n", 20_000))
		for _, accounts := range []string{"--file list", "mary"} {
			r := w.run(append(strings.Fields(command), strings.Fields(accounts)...)...)
			assert.Equal(t, 3, r.code, command)
		}
		assert.Less(t, len(w.fake.Calls()), 150, command)
		r := w.with("TIMPUSH_BASE_URL=http://127.0.0.1:1").run(append(strings.Fields(command), "mary")...)
		assert.Equal(t, 3, r.code, command)
		assert.Contains(t, r.err, "timpush: stopped early: requests fail for all accounts, and the rest was left out", command)
		w = newWorld(t).with("TIMPUSH_SECRET_KEY=" + strings.Repeat("0", 64))
		assert.Equal(t, 3, w.run(append(strings.Fields(command), "mary")...).code, "%s with a wrong key", command)
	}
}

// TestRefusalToGoOnEndsCommands: accounts that come after it are left out, also where others are done.
func TestRefusalToGoOnEndsCommands(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"tags add --tags a", "remove-attr --names city"} {
		w := newWorld(t)
		w.write("list.txt", accounts(5000))
		var calls atomic.Int64
		w.fake.Handle(func(timpushtest.Call) timpushtest.Fault {
			if calls.Add(1) > 2 {
				return timpushtest.ErrorCode(60028)
			}
			return timpushtest.Fault{}
		})
		r := w.run(append(strings.Fields(command), "--file", "list.txt")...)
		assert.Equal(t, 3, r.code, command)
		assert.Contains(t, r.out, "200 done\n", command)
		assert.Contains(t, r.err, "timpush: stopped early: the service refuses to go on: 60028", command)
	}
}

// Programs put only those texts into quotation marks that need them.
func TestListWithQuotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("list", "mary\n\"o,k\"\nbob,\nann\n")
	r := w.run("tags", "add", "--tags", "gold", "--file", "list")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "list:2:1: it is CSV or NDJSON")
	assert.Contains(t, r.err, "list:3:1: it is CSV or NDJSON")
	assert.Equal(t, "2 done\n", r.out)

	w = newWorld(t)
	w.write("uids", "{\"uid\":\"mary\"}\n{ \"uid\": 7 }\n") // as of jq -c '{uid}' or mongoexport
	r = w.run("tags", "add", "--tags", "gold", "--file", "uids")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "uids: it is CSV or NDJSON")
	for _, list := range []string{"[\"mary\"]\n[\"bob\"]\n", "[\n  \"mary\"\n]\n", "{\n  \"error\": 401\n}\n", "[]\n", "{}"} {
		w.write("uids", list)
		assert.Contains(t, w.run("tags", "add", "--tags", "gold", "--file", "uids").err, "timpush: uids: it is CSV or NDJSON")
	}
	w.write("guids", "{3f2504e0-4f89-11d3-9a0c-0305e82c3301}\n{ \"uid\": 7 }\n")
	assert.Equal(t, 1, w.run("tags", "add", "--tags", "gold", "--file", "guids").code)
	assert.Equal(t, []string{"gold"}, w.fake.Tags("{3f2504e0-4f89-11d3-9a0c-0305e82c3301}"))
}

// TestJoinedLists: of lists that were joined each names the column.
func TestJoinedLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("list", "To_Account\nmary\n\ufeffto_account\nbob\n")
	r := w.run("tags", "add", "--tags", "gold", "--file", "list")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "list:3:2: it names the column, and is no account: were lists joined?")
	assert.Equal(t, "2 done\n", r.out)
	assert.Empty(t, w.fake.Tags("to_account"))
}

// Lines of a compressed list that happen to be texts are no accounts.
func TestListThatIsCompressed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("list.gz", "\x1f\x8b\x08\xff\nmary\n")
	r := w.run("tags", "add", "--tags", "gold", "--file", "list.gz")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "list.gz: it is compressed with gzip, and no text: unpack it")
	w.write("list.parquet", "PAR1\x15\x04\x15\xd0\nmary\n")
	r = w.run("tags", "add", "--tags", "gold", "--file", "list.parquet")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "list.parquet: it is Parquet, and no text: write it as one")
	assert.Empty(t, w.fake.Calls())
}

// TestPageInPlaceOfAFile: a server that is down, or wants a login, sends a page, which the job that asks for the file saves in its place.
func TestPageInPlaceOfAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, page := range []string{
		"<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n</body>\n</html>\n", "\ufeff\n  <!DOCTYPE html>\nmary\n", "<?xml version=\"1.0\"?>\n<Error/>\n",
		"<Error><Code>AccessDenied</Code></Error>\n", "<TR><TD>mary</TD>\n</TR>\n", "{\\rtf1\\ansi\nmary\\\n}\n", "%PDF-1.4\nmary\n",
	} {
		for _, line := range []string{
			"tags add --tags gold --file u.csv", "get-attr --file u.csv", "set-attr u.csv", "set-attr --format ndjson u.csv", "batch --no-header --title x --yes u.csv",
		} {
			w.write("u.csv", page)
			r := w.run(strings.Fields(line)...)
			assert.Equal(t, 3, r.code, line)
			assert.Contains(t, r.err, "u.csv: it is a page or a document (HTML, XML, RTF or PDF)", line)
		}
	}
	assert.Empty(t, w.fake.Calls())
	w.write("list", "<NULL>\n<mary@example.com>\n<3\n")
	r := w.run("tags", "add", "--tags", "gold", "--file", "list")
	assert.Equal(t, 1, r.code)
	assert.Equal(t, "2 done\n", r.out)
}

// Accounts of Auth0 have a bar in them, and a list of them is no CSV.
func TestListOfAuth0(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("list", "auth0|5f7c8ec7c33c6c004bbafe82\nsms|5f7c8ec7c33c6c004bbafe83\nmary;Rome\n")
	r := w.run("tags", "add", "--tags", "gold", "--file", "list")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "list:3:1: it is CSV or NDJSON")
	assert.Equal(t, "2 done\n", r.out)
	assert.Equal(t, []string{"gold"}, w.fake.Tags("auth0|5f7c8ec7c33c6c004bbafe82"))
}

// The files of set-attr and the output of get-attr are no lists: a whole row would count as an account.
func TestListsThatHaveMoreThanAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\nmary,Rome\n")
	w.write("u.ndjson", `{"To_Account":"mary","Attrs":{"city":"Rome"}}`+"\n")
	w.write("quoted.csv", "\"mary\"\n\"bob\"\n")
	w.write("wide.csv", "mary,\nbob,\n")
	w.write("uid.csv", "uid,city\nmary,Rome\n")
	w.write("semicolons.csv", "mary;Rome\nbob;Oslo\n")
	for _, command := range []string{"get-attr", "remove-attr --names city", "tags add --tags gold", "tags get"} {
		for _, file := range []string{"u.csv", "u.ndjson", "quoted.csv", "wide.csv", "uid.csv", "semicolons.csv"} {
			r := w.run(append(strings.Fields(command), "--file", file)...)
			assert.Equal(t, 3, r.code, command)
			assert.Equal(t, "timpush: "+file+": it is CSV or NDJSON, and a list has the account alone on each line: save that column alone, and give an account with a comma or a semicolon in it as an argument\n", r.err)
		}
	}
	assert.Empty(t, w.fake.Calls())
}

func TestNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, timpushtest.WithAttrNames("sex", "city"))
	r := w.run("names", "get")
	require.Equal(t, 0, r.code, r.err)
	assert.Regexp(t, `(?m)^1  city +UserID$`, r.out)
	r = w.run("names", "set", "1=town", "5=model:registrationid")
	require.Equal(t, 2, r.code)
	assert.Contains(t, r.out, `1: "city" for UserIDs becomes "town"`)
	assert.Contains(t, r.out, `5: new attribute "model" for RegistrationIDs; this type can never be changed`)
	r2 := w.run("names", "set", "0=gender:registrationid", "7=zip")
	assert.Contains(t, r2.out, `0: "sex" for UserIDs becomes "gender" for RegistrationIDs, which the service will refuse: the type can never be changed`)
	assert.Contains(t, r2.out, `7: new attribute "zip" for UserIDs; this type can never be changed`, "a type that is not given is one, too")
	require.Len(t, w.fake.AttrNames(), 2)
	r = w.run("names", "set", "--yes", "1=town", "5=model:registrationid")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, timpushtest.AttrName{Index: 5, Name: "model", RegistrationID: true}, w.fake.AttrNames()[2])
	assert.Contains(t, w.run("names", "get", "--json").out, `{"index":5,"name":"model","type":"registrationid"}`)
	for _, bad := range []string{"1= town", "1=town :userid", "town", "10=town", "x=town", "=town", "1=", "6=os:registration", "6=os:", "6=:userid"} {
		assert.Equal(t, 2, w.run("names", "set", "--yes", bad).code, bad)
	}
	require.Len(t, w.fake.AttrNames(), 3)
	assert.Contains(t, w.run("names", "set", "6=os:RegistrationID").out, `6: new attribute "os" for RegistrationIDs`)
	assert.Contains(t, w.run("names", "set", "6=a:b:userid").out, `6: new attribute "a:b" for UserIDs`)
	w.fake.Inject(timpushtest.Fault{}, timpushtest.Status(404))
	r = w.run("names", "set", "--yes", "1=place")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "the names are set, but cannot be shown")
	r = w.run("names", "set", "1=town", "1=place")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, `"1=place": the index 1 has a name already`)
	assert.NotContains(t, r.out, "town")
}

func TestPreflightCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.ndjson", `{"To_Account":"a","city":"Rome"}`+"\n"+`{"To_Account":"b","town":"Rome"}`)
	r := w.run("preflight", "u.ndjson")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "u.ndjson:2: column town: 90033")
	assert.Empty(t, w.fake.Accounts())
	r = w.run("preflight", "--account-type", "registrationid", "u.ndjson")
	assert.Contains(t, r.err, "u.ndjson:1: column city: 90035")
}

func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run("explain", "90035", "60007")
	require.Equal(t, 0, r.code)
	assert.Contains(t, r.out, "90035: the attribute belongs to the other account type")
	assert.Contains(t, r.out, "This is a temporary error")
	assert.Equal(t, 1, w.run("explain", "12").code)
	assert.Equal(t, 2, w.run("explain", "x").code)
}

func TestUserSig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.run("usersig", "--ttl", "1h", "--identifier", "mary")
	require.Equal(t, 0, made.code, made.err)
	w.in = made.out
	r := w.run("usersig", "inspect")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.out, "identifier  mary")
	assert.Contains(t, r.out, "signature   valid")
	w.with("TIMPUSH_SECRET_KEY=" + strings.Repeat("x", 64))
	r = w.run("usersig", "inspect")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.out, "signature   WRONG")
	w.without("TIMPUSH_SECRET_KEY")
	assert.Contains(t, w.run("usersig", "inspect").out, "not checked")
	assert.Equal(t, 2, w.run("usersig", "inspect", "--config", "gone").code, "a wrong configuration is not one that is missing")
	w.in = made.out + "\n" + made.out
	r = w.run("usersig", "inspect")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "stdin: want one UserSig, and there is more in line 3")
	w.in = "nonsense"
	assert.Equal(t, 3, w.run("usersig", "inspect").code)
	for _, ttl := range []string{"0s", "999999h"} {
		r = w.run("usersig", "--ttl", ttl)
		assert.Equal(t, 2, r.code)
		assert.Contains(t, r.err, "--ttl: want a second or more, and at most 68 years")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run("check")
	require.Equal(t, 0, r.code, r.out+r.err)
	for _, want := range []string{"secret-key (not shown), from TIMPUSH_SECRET_KEY", "ok    clock", "administrator is an administrator", "sex, city, country"} {
		assert.Contains(t, r.out, want)
	}
	assert.Empty(t, w.fake.Accounts())
}

// freeAddress returns an address without a listener.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Flags go before the environment, and that before the file.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, key := w.fake.App()
	w.write("key", key+"\n")
	w.write("conf", "# the app\nsdkappid = 1400000000\nidentifier = \"administrator\"\nregion=seoul\nsecret_key_file = key\nbase-url = "+w.fake.URL+"\n")
	w.without("TIMPUSH_SDKAPPID", "TIMPUSH_IDENTIFIER", "TIMPUSH_SECRET_KEY", "TIMPUSH_REGION", "TIMPUSH_BASE_URL").with("TIMPUSH_CONFIG=conf")
	r := w.run("check")
	require.Equal(t, 0, r.code, r.out+r.err)
	assert.Contains(t, r.out, "region seoul, from conf")
	r = w.with("TIMPUSH_REGION=jakarta").run("check")
	assert.Contains(t, r.out, "region jakarta, from TIMPUSH_REGION")
	r = w.run("check", "--region", "Silicon Valley")
	assert.Contains(t, r.out, "region siliconvalley, from --region")
	w.in = key
	assert.Equal(t, 0, w.run("check", "--secret-key-file", "-").code)
	w.write("other", "secret-key = "+strings.Repeat("x", 64)+"\n"+w.read("conf"))
	r = w.with("TIMPUSH_CONFIG=other", "TIMPUSH_SECRET_KEY_FILE=key").run("check")
	assert.Equal(t, 0, r.code, "the environment takes precedence over the file: "+r.out)
	w.with("TIMPUSH_CONFIG=conf").without("TIMPUSH_SECRET_KEY_FILE")

	usage := func(want string, args ...string) {
		t.Helper()
		r := w.run(args...)
		assert.Equal(t, 2, r.code, r.out+r.err)
		assert.Contains(t, r.err, want)
	}
	usage("unknown region", "check", "--region", "mars")
	usage("sdkappid (from --sdkappid) is no whole number", "check", "--sdkappid", "x")
	require.NoError(t, os.Chmod(filepath.Join(w.dir, "key"), 0o644))
	usage("others can read key: chmod 600 key", "check")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range [][]string{
		{"set-attr"}, {"set-attr", "--nonsense", "x"}, {"nonsense"}, {"set-attr", "--format", "xml", "x"}, {"set-attr", "--delimiter", "ab", "x"},
		{"set-attr", "--account-type", "x", "x"}, {"set-attr", "--give-up", "-1", "x"}, {"set-attr", "--secret-key-file", "-", "-"},
	} {
		assert.Equal(t, 2, w.run(args...).code, args)
	}
	assert.Contains(t, w.run("set-atr").err, "do you mean set-attr")
	for _, command := range []string{"tags", "tasks", "names", "queue", "usersig", "completion"} {
		assert.Equal(t, 2, w.run(command, "nonsense").code, command)
		assert.Equal(t, 2, w.run("help", command, "nonsense").code, command)
	}
	assert.Contains(t, w.run("help", "set-atr").err, "do you mean set-attr")
	assert.Contains(t, w.run("set-attr").err, "timpush: which files? give their names")
	assert.Contains(t, w.run("check", "--region", "mars").err, "timpush: unknown region")
}

// Where a key or a UserSig is given as an argument, the command line alone shows it, and no log.
func TestSecretsInArguments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, key := w.fake.App()
	for _, line := range []string{"", "help", "init", "check", "usersig", "usersig inspect", "names", "names get", "queue", "tasks list", "serve", "callbacks"} {
		r := w.run(append(strings.Fields(line), key)...)
		assert.Equal(t, 2, r.code, line)
		assert.NotContains(t, r.out+r.err, key, line)
	}
	assert.Contains(t, w.run("usersig", "inspect", "eAEArwBQ").err, "give the UserSig on standard input")
}

// What was copied from a page has characters that cannot be seen, and would be another account.
func TestAccountsOfArguments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("task.json", `{"To_Account":["mary\u200b"],"OfflinePushInfo":{"Title":"x"}}`)
	for _, line := range []string{
		"get-attr", "remove-attr --names city", "tags add --tags gold", "tags replace --tags gold", "tags remove --tags gold", "tags clear", "tags get", "tasks add --title x --in 1h --yes --accounts",
		"probe --yes --account", "probe --yes --account bob --unknown-account",
	} {
		for account, want := range map[string]string{"ma\u200bry": "a character without width (U+200B)", "mary\u00a0": "white space around it", " mary": "white space around it"} {
			r := w.run(append(strings.Fields(line), account)...)
			assert.Equal(t, 2, r.code, "%s %q", line, account)
			assert.Contains(t, r.err, want)
		}
	}
	assert.Equal(t, 2, w.run("tasks", "add", "--file", "task.json", "--in", "1h", "--yes").code)
	assert.Empty(t, w.fake.Calls())
	assert.Equal(t, 0, w.run("get-attr", "mary ann", "4.91512E+12").code, "what is written on a command line is meant")
}

// TestFilesInPlaceOfAccounts: set-attr and batch take a file as an argument, and these take accounts. vip.txt got the tags of those in it.
func TestFilesInPlaceOfAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("vip", "mary\n")
	for _, line := range []string{
		"get-attr", "remove-attr --names city", "tags add --tags gold", "tags replace --tags gold", "tags remove --tags gold", "tags clear", "tags get", "tasks add --title x --in 1h --yes --accounts",
	} {
		for _, file := range []string{"-", "vip.txt", "users.csv", "users.CSV.gz", "users.xlsx", "@vip.txt", "./vip"} {
			r := w.run(append(strings.Fields(line), file)...)
			assert.Equal(t, 2, r.code, "%s %s", line, file)
			assert.Contains(t, r.err, text.Quote(file)+" is no account")
			assert.Contains(t, r.err, "--file")
		}
	}
	assert.Empty(t, w.fake.Calls())
	for _, account := range []string{"vip", "mary.txt.example.org", "a/b", "./"} {
		assert.Equal(t, 0, w.run("get-attr", account).code, account)
	}
	w.write("users.txt", "vip.txt\n")
	assert.Equal(t, "1 done\n", w.run("tags", "add", "--tags", "gold", "--file", "users.txt").out, "where there is such an account")
}

// An identifier with characters that cannot be seen is another one, for which UserSigs would be made.
func TestIdentifierWithSpaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, identifier, _ := w.fake.App()
	r := w.with("TIMPUSH_IDENTIFIER=" + identifier + "\u00a0\r").run("check")
	assert.Equal(t, 0, r.code, r.out+r.err)
	assert.Contains(t, r.out, "identifier "+identifier+",")
	w.in = w.run("usersig", "--identifier", "mary ").out
	assert.Contains(t, w.run("usersig", "inspect").out, "identifier  mary\n")
	calls := len(w.fake.Calls())
	r = w.run("names", "get", "--identifier", "admin\u200bistrator")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "identifier (from --identifier): there is a character without width (U+200B) in it")
	assert.Len(t, w.fake.Calls(), calls)
}

// TestDoubtfulFlags: a variable of a shell that was never set does not lead to another configuration, another server or other files,
// and a space after a comma not to another tag.
func TestDoubtfulFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(1))
	for _, flag := range []string{"config", "base-url", "rate", "region", "checkpoint", "rejects", "failures", "sheet", "delimiter", "only", "account"} {
		r := w.run("set-attr", "--"+flag+"=", "u.csv")
		assert.Equal(t, 2, r.code, flag)
		assert.Contains(t, r.err, "timpush: --"+flag+" is empty: give a value, or leave the flag out")
	}
	assert.Contains(t, w.run("set-attr", "--map", "city=", "u.csv").err, `--map city=: want column=attribute`)
	for flag, args := range map[string][]string{
		"tags": {"push", "--attr", "city=Rome", "--tags", "", "--title", "x", "--yes"}, "tags-not": {"push", "--tags", "a", "--tags-not", "", "--tags-not", "b", "--title", "x", "--yes"},
		"title": {"push", "--tags", "a", "--title", " ", "--yes"}, "accounts": {"tasks", "add", "--accounts", "a", "--accounts", "", "--title", "x", "--in", "1h", "--yes"},
	} {
		r := w.run(args...)
		assert.Equal(t, 2, r.code, args)
		assert.Contains(t, r.err, "--"+flag+" is empty")
	}
	for _, args := range [][]string{
		{"tags", "remove", "--tags", "gold, beta", "mary"}, {"push", "--tags-or", "gold, beta", "--title", "x", "--yes"}, {"remove-attr", "--names", "city, sex", "mary"},
	} {
		r := w.run(args...)
		assert.Equal(t, 2, r.code, args)
		assert.Contains(t, r.err, "has white space around it")
	}
	for line, flag := range map[string]string{ // the variable is not in quotation marks, and the next flag is the text
		"set-attr --ignore --dry-run u.csv": "ignore has no value, but the flag --dry-run", "set-attr --failures --dry-run u.csv": "failures has no value, but the flag --dry-run",
		"push --tags a --title --desc --yes": "title has no value, but the flag --desc", "push --title x --tags-not --tags=a --yes": "tags-not has no value, but the flag --tags=a",
		"batch --title x --desc --journal --yes u.csv": "desc has no value, but the flag --journal",
		"push --attr --tags=a --title x --yes":         "attr has no value, but the flag --tags=a",
	} {
		r := w.run(strings.Fields(line)...)
		assert.Equal(t, 2, r.code, line)
		assert.Contains(t, r.err, "timpush: --"+flag+" follows it")
	}
	for _, command := range []string{"tags add --tags gold", "get-attr", "push --yes"} {
		r := w.run(append(strings.Fields(command), "--file", "a", "--file=b")...)
		assert.Equal(t, 2, r.code, command)
		assert.Contains(t, r.err, "it is given twice, and there can be one file")
	}
	for _, args := range [][]string{ // as of "$(cat FILE)"
		{"push", "--tags", "a", "--tags-not", "blocked\nleft", "--title", "x", "--yes"}, {"tags", "add", "--tags", "gold\r\nbeta", "mary"},
		{"tasks", "add", "--accounts", "mary\nbob", "--in", "1h", "--title", "x", "--yes"}, {"set-attr", "--map", "a=b\nc=d", "u.csv"},
		{"tags", "add", "--tags", "\"gold\"\n\"beta\"", "mary"},
	} {
		r := w.run(args...)
		assert.Equal(t, 2, r.code, args)
		assert.Contains(t, r.err, "it has several lines: put commas between the values")
	}
	for _, line := range []string{"set-attr --failures u.csv u.csv", "set-attr - u.csv", "batch --title x --file - --journal j --yes -"} {
		assert.Equal(t, 2, w.run(strings.Fields(line)...).code, line)
	}
	w.in = "379C2F0D-290D-47AE-94D1-919058C39C77\n" // of which the first reader would take all
	for _, line := range []string{
		"tags add --tags gold --file -", "get-attr --file -", "remove-attr --names city --file -", "set-attr -", "preflight -", "batch --title x --journal j --no-header --yes -",
		"push --file - --yes", "tasks add --file - --in 2h --yes",
	} {
		r := w.run(append(strings.Fields(line), "--secret-key-file", "-")...)
		assert.Equal(t, 2, r.code, line)
		assert.Contains(t, r.err, "the secret key: standard input is read for something else", line)
	}
	assert.Empty(t, w.fake.Calls(), "nothing was sent")
	assert.Equal(t, 0, w.run("tags", "add", "--tags", "gold\n", "mary").code)
	assert.Equal(t, 0, w.run("set-attr", "--ignore", "", "--null", "", "u.csv").code)
	assert.Equal(t, 0, w.run("push", "--tags", "a", "--title", "--x--", "--yes").code)
	w.write("spaces.csv", "To_Account city\nmary Rome\n")
	assert.Equal(t, 0, w.run("set-attr", "--delimiter", " ", "spaces.csv").code)
}

// A flag that would have no effect beside another one, or for the file, is refused: who gives it believes that it has.
func TestFlagsWithoutEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(1))
	w.write("u.ndjson", `{"To_Account":"u0","city":"Rome"}`)
	for line, want := range map[string]string{
		"set-attr --no-checkpoint --checkpoint c u.csv":                         "give either --checkpoint or --no-checkpoint, not both",
		"set-attr --account-type registrationid u.csv":                          "--account-type is for --preflight: give both, or neither",
		"set-attr --sheet Customers u.csv":                                      "u.csv: --sheet is for Excel, and this is CSV",
		"set-attr --delimiter ; u.ndjson":                                       "u.ndjson: --delimiter is for CSV, and this is NDJSON",
		"batch --title x --yes --no-header u.ndjson":                            "u.ndjson: --no-header is for CSV, and this is NDJSON",
		"push --everybody 1400000000 --tags a --title x --yes":                  "",
		"tasks add --accounts a --tags b --in 1h --title x --yes":               "",
		"tasks add --accounts a --everybody 1400000000 --in 1h --title x --yes": "",
	} {
		r := w.run(strings.Fields(line)...)
		assert.Equal(t, 2, r.code, line)
		assert.Contains(t, r.err, want)
	}
	assert.Empty(t, w.fake.Calls())
}

// Texts from outside neither control the terminal nor begin lines of their own.
func TestTextsFromOutsideAreHarmless(t *testing.T) {
	t.Parallel()
	const evil = "a\x1b[31m\u009b2J\nb"
	w := newWorld(t, timpushtest.WithAttrNames("city", evil))
	w.write(evil+".csv", "To_Account,city\nmary,Rome,x\n")
	w.write(evil, "")
	check := func(r result) {
		t.Helper()
		assert.NotContains(t, strings.ReplaceAll(r.out+r.err, "\n", ""), "\x1b")
		assert.NotContains(t, r.out+r.err, "\u009b")
	}
	for _, line := range []string{"set-attr", "batch --title x --dry-run", "get-attr --file", "push --yes --file", "check --config"} {
		r := w.run(append(strings.Fields(line), evil+".csv")...)
		check(r)
		if line != "check --config" {
			assert.NotContains(t, r.err, "\nb", line)
		}
	}
	check(w.run("set-attr", evil+"gone.csv"))
	check(w.run("set-attr", "--format", "parquet", evil))
	for _, line := range []string{"names get", "names set 5=x", "check"} {
		r := w.run(strings.Fields(line)...)
		check(r)
		assert.NotContains(t, r.out, "\nb", line)
	}
	sig, err := tencentyun.GenUserSig(1400000000, strings.Repeat("x", 64), "mary\nsignature   valid", 60)
	require.NoError(t, err)
	w.in = sig
	assert.NotContains(t, w.run("usersig", "inspect").out, "signature   valid\n")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	w := newWorld(t).without("TIMPUSH_SECRET_KEY")
	assert.Regexp(t, `^timpush \S+`, w.run("--version").out)
	assert.Contains(t, w.run("set-attr", "--help").out, "timpush set-attr --account uid")
	for _, shell := range []string{"bash", "fish"} {
		assert.NotEmpty(t, w.run("completion", shell).out)
	}
	assert.Contains(t, w.run("man").out, ".TH")
	require.Equal(t, 0, w.run("man", w.dir).code)
	assert.Contains(t, w.read("timpush-set-attr.1"), "checkpoint")
}

// What is lost of the output must show in the exit code: a program reads nothing else.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", users(10))
	other := map[string]string{"tasks": "Is there a task 7?"} // of a command that has failed by itself
	for _, args := range [][]string{
		{"names", "get"}, {"tasks", "show", "--json", "7"}, {"explain", "90035"}, {"usersig"}, {"check"}, {"get-attr", "mary"}, {"set-attr", "u.csv"}, {"set-attr", "--json", "u.csv"}, {"--version"}, {"--help"}, {"serve", "--listen", "127.0.0.1:0"},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip("there is no /dev/full here")
		}
		cmd := w.command(args...)
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = full, &errs
		require.Error(t, cmd.Run(), args)
		require.NoError(t, full.Close())
		assert.Equal(t, 3, cmd.ProcessState.ExitCode(), args)
		assert.Contains(t, errs.String(), cmp.Or(other[args[0]], "no space left on device"), args)
	}
	assert.Len(t, w.fake.Accounts(), 10, "the users are done")
}
