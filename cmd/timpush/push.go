package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os/signal"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/input"
	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

const pushLong = `Send one push to an audience: to those who match tags or attributes, or to everybody.

The push is described by flags, or by a JSON file with the documented request of v4/timpush/push: From_Account, Condition,
OfflinePushInfo, MsgBody, DataId and so on. A file without a Condition is refused unless --everybody is given.

Nothing is sent without --yes, and a push to everybody also names the app: --everybody 1400000000 --yes. A push that may have gone
out is never repeated: if its outcome is unknown, look at the statistics or the callbacks before you send it again.`

// pushSource describes a notification, by flags or by a file.
type pushSource struct {
	cmd   *cobra.Command
	file  string
	title string
	desc  string
}

func (p *pushSource) flags() {
	flags := p.cmd.Flags()
	flags.StringVar(&p.file, "file", "", "JSON `file` with the request, - for standard input")
	flags.StringVar(&p.title, "title", "", "`text` of the title")
	flags.StringVar(&p.desc, "desc", "", "`text` of the notification")
}

func (p *pushSource) described() bool { return p.title != "" || p.desc != "" }

// pushFlags are the flags of a push.
type pushFlags struct {
	pushSource
	attrsAnd  []string
	attrsOr   []string
	to        timpush.Audience
	everybody int
	accounts  []string // of a task, which can also be for listed accounts
	forTask   bool
	yes       bool
	dryRun    bool
	captured  captured // of a dry run
}

func newPush() *cobra.Command {
	f := &pushFlags{pushSource: pushSource{cmd: &cobra.Command{
		Use: "push", Short: "Send a push to those who match, or to everybody", Long: pushLong, Args: usageArgs(noArguments),
		Example: "  timpush push --attr level=gold --title Hello --desc 'New for you' --dry-run\n  timpush push --attr level=gold --title Hello --desc 'New for you' --yes\n" +
			"  timpush push --file push.json --yes",
	}}}
	f.describe()
	f.cmd.Flags().BoolVar(&f.yes, "yes", false, "send it")
	f.cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the request and send nothing")
	f.cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) }
	return f.cmd
}

// describe adds the flags that say what is sent, and to whom.
func (f *pushFlags) describe() {
	f.flags()
	flags := f.cmd.Flags()
	flags.StringArrayVar(&f.attrsAnd, "attr", nil, "`NAME=VALUE` that the audience has; may be repeated, and all must hold")
	flags.StringArrayVar(&f.attrsOr, "attr-or", nil, "`NAME=VALUE`; may be repeated, and one must hold")
	flags.StringSliceVar(&f.to.TagsAnd, "tags", nil, "`tags`, separated by commas, all of which the audience has")
	flags.StringSliceVar(&f.to.TagsOr, "tags-or", nil, "`tags` of which the audience has one")
	flags.StringSliceVar(&f.to.TagsNot, "tags-not", nil, "`tags` that the audience does not have")
	flags.IntVar(&f.everybody, "everybody", 0, "send to everybody of the app with this `number`, which must be the configured one")
	if f.forTask {
		flags.StringSliceVar(&f.accounts, "accounts", nil, "`accounts` to send to, separated by commas, at most 500")
	}
	appFlags(flags)
}

func (f *pushFlags) run(ctx context.Context) error {
	client, content, err := f.prepare()
	if err != nil {
		return err
	}
	if content.Push.MsgRandom != 0 { // as in the sample of the documentation
		_, _ = fmt.Fprintln(f.cmd.ErrOrStderr(), "timpush: warning: the file has a MsgRandom: the service may take another push with it, up to 7 days later, for a repeat, and answer without sending it. Leave it out to have a new one each time")
	}
	receipt, err := client.Push(ctx, content.To, content.Push)
	if f.captured.body != nil {
		return fatal(printRequest(f.cmd.OutOrStdout(), f.captured.body))
	}
	if err != nil {
		return callFailed(err, "The push may have gone out. Look at the statistics or the callbacks before you send it again")
	}
	return printDone(f.cmd, "TaskID "+receipt.TaskID)
}

// printDone prints the result of what must not be done twice. Where standard output does not take it, on a full disk or as its reader
// is gone, the error has it.
func printDone(cmd *cobra.Command, result string) error {
	signal.Ignore(syscall.SIGPIPE)
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), result); err != nil {
		return coded(exitSome, fmt.Errorf("it is done, do not repeat it: %s\nIts result cannot be written to standard output: %w", result, err))
	}
	return nil
}

// prepare reads what is to be sent, and makes the client, which sends nothing in a dry run.
func (f *pushFlags) prepare() (client *timpush.Client, content timpush.TaskContent, err error) {
	s, err := loadSettings(f.cmd)
	if err != nil {
		return nil, content, err
	}
	content, err = f.read()
	switch {
	case err != nil:
		return nil, content, usage(err)
	case f.cmd.Flags().Changed("everybody") && f.everybody != s.Config.SDKAppID:
		return nil, content, usage(fmt.Errorf("--everybody %d: the configured app is %d", f.everybody, s.Config.SDKAppID))
	case !f.yes && !f.dryRun:
		return nil, content, usage(errors.New("nothing was sent: give --yes to send it, or --dry-run to see the request"))
	}
	var options []timpush.Option
	if f.dryRun {
		options = append(options, timpush.WithHTTPClient(&http.Client{Transport: &f.captured}), timpush.WithMaxAttempts(1))
	}
	client, err = newClientOf(s, options...)
	return client, content, err
}

// callFailed adds to the error of a call what to do if its outcome is not known, unless that is "".
func callFailed(err error, unknown string) error {
	if _, ok := errors.AsType[*timpush.InputErrors](err); ok {
		return usage(err)
	}
	if call, ok := errors.AsType[*timpush.CallError](err); ok && call.Outcome == timpush.Unknown && unknown != "" {
		return coded(exitSome, fmt.Errorf("%w\n%s", err, unknown)) // what tries again after exitFatal would do it twice
	}
	return fatal(err)
}

// conditions reports whether flags name an audience by what it has.
func (f *pushFlags) conditions() bool {
	return len(f.attrsAnd)+len(f.attrsOr) > 0 || f.to.TagsAnd != nil || f.to.TagsOr != nil || f.to.TagsNot != nil
}

// given reports whether there is a flag that says what is sent, or to whom, also an empty one.
func (f *pushFlags) given() bool {
	return slices.ContainsFunc([]string{"file", "title", "desc", "attr", "attr-or", "tags", "tags-or", "tags-not", "everybody", "accounts"}, f.cmd.Flags().Changed)
}

// read returns the audience and the push of the flags or of the file.
func (f *pushFlags) read() (content timpush.TaskContent, err error) {
	if f.file != "" {
		if f.described() || f.conditions() || f.accounts != nil {
			return content, errors.New("give either --file or flags that describe the push, not both")
		}
		return f.readContent()
	}
	if err := argumentFault(f.accounts); err != nil {
		return content, err
	}
	if file := slices.IndexFunc(f.accounts, isFile); file >= 0 {
		return content, fmt.Errorf("--accounts: %s is no account: put the accounts into To_Account of --file", text.Quote(f.accounts[file]))
	}
	content = timpush.TaskContent{To: f.to, Accounts: f.accounts}
	content.Push.Notification = timpush.Notification{Title: f.title, Desc: f.desc}
	if content.To.AttrsAnd, err = pairs("--attr", f.attrsAnd); err != nil {
		return content, err
	}
	content.To.AttrsOr, err = pairs("--attr-or", f.attrsOr)
	content.To.Everybody = f.everybody != 0
	if !f.conditions() && f.accounts == nil && !content.To.Everybody {
		err = errors.Join(errors.New("to whom? give --attr, --tags or --everybody with the number of the app"), err)
	}
	return content, err
}

// readContent reads the file. That of a task can have To_Account in place of a Condition.
func (f *pushFlags) readContent() (content timpush.TaskContent, err error) {
	push, to, err := f.readFile()
	if err != nil {
		return content, err
	}
	content.Push = push
	var list []any
	listed, _ := push.Extra["To_Account"].(jsontext.Value)
	if f.forTask && listed.Kind() == jsontext.KindBeginArray {
		if err := jsonv2.Unmarshal(listed, &list); err != nil {
			return content, fmt.Errorf("%s: To_Account: %w", input.Display(f.file), err)
		}
		delete(push.Extra, "To_Account")
		content.Accounts = []string{}
		for _, account := range list {
			name, _ := account.(string) // another value is no account, and neither is ""
			if input.NoAccount(name) {
				return content, fmt.Errorf("%s: To_Account: %s is the account, which may mean that there is none", input.Display(f.file), text.Quote(name))
			}
			content.Accounts = append(content.Accounts, name)
		}
		if err := argumentFault(content.Accounts); err != nil {
			return content, fmt.Errorf("%s: To_Account: %w", input.Display(f.file), err)
		}
		if to == nil && f.everybody == 0 {
			return content, nil
		}
	}
	switch {
	case to == nil && f.everybody == 0:
		return content, fmt.Errorf("%s has no Condition, which means everybody: give --everybody with the number of the app as well", input.Display(f.file))
	case to != nil && f.everybody != 0:
		return content, fmt.Errorf("%s has a Condition, and --everybody is given: want one of them", input.Display(f.file))
	case to == nil:
		content.To.Everybody = true
	default:
		content.To = *to
	}
	return content, nil
}

// severalPairs finds a second NAME=VALUE behind a comma, as other flags take several. No user has both as one value, so the push reaches no one.
var severalPairs = regexp.MustCompile(`,\s*[\pL_][\pL\pN_-]*=`)

// pairs reads NAME=VALUE arguments; nil if there are none.
func pairs(flag string, texts []string) (timpush.Attrs, error) {
	var attrs timpush.Attrs
	for _, pair := range texts {
		name, value, _ := strings.Cut(pair, "=")
		if _, repeated := attrs[name]; name == "" || value == "" || text.Trim(name) != name || repeated {
			return nil, fmt.Errorf("%s %q: want NAME=VALUE, both with a text, no white space around the name, and each name once", flag, pair)
		}
		if text.Trim(value) != value { // as $(cat FILE) leaves of a line end of Windows: no user has it, so the push reaches no one
			return nil, fmt.Errorf("%s %q: there is white space around the value; one that has it needs --file", flag, pair)
		}
		if severalPairs.MatchString(value) {
			return nil, fmt.Errorf("%s %q: give the flag once for each NAME=VALUE; a value that has this in it needs --file", flag, pair)
		}
		if attrs == nil {
			attrs = timpush.Attrs{}
		}
		attrs[name] = value
	}
	return attrs, nil
}

// pushFile is the documented request. What is not named here goes into Extra, as it is written.
type pushFile struct {
	From         string                `json:"From_Account"`
	Notification *timpush.Notification `json:"OfflinePushInfo"`
	DataID       string                `json:"DataId"`
	MsgRandom    uint32
	Condition    jsontext.Value
	Extra        map[string]jsontext.Value `json:",embed"`
}

// readFile reads the file. A member that comes twice is an error: which of two audiences is meant?
func (p *pushSource) readFile() (push timpush.Push, to *timpush.Audience, err error) {
	data, err := p.fileData()
	if err != nil {
		return push, nil, err
	}
	var file *pushFile
	if err := p.unmarshal(data, &file); err != nil {
		return push, nil, err
	}
	if file == nil {
		return push, nil, fmt.Errorf("%s: it is null, want an object", input.Display(p.file))
	}
	push = timpush.Push{From: file.From, DataID: file.DataID, MsgRandom: file.MsgRandom}
	if file.Notification != nil {
		push.Notification = *file.Notification
	}
	if len(file.Extra) > 0 {
		push.Extra = timpush.Extra{}
	}
	for name, value := range file.Extra {
		push.Extra[name] = value
	}
	if file.Condition == nil {
		return push, nil, nil
	}
	var wire struct {
		Condition conditionJSON
		Others    map[string]jsontext.Value `json:",embed"`
	}
	err = p.unmarshal(data, &wire, jsonv2.RejectUnknownMembers(true), jsonv2.WithUnmarshalers(noNull))
	c := wire.Condition
	return push, &timpush.Audience{TagsAnd: c.TagsAnd, TagsOr: c.TagsOr, TagsNot: c.TagsNot, AttrsAnd: c.AttrsAnd, AttrsOr: c.AttrsOr}, err
}

// unmarshal reads the JSON of the file. Its error says where the fault is.
func (p *pushSource) unmarshal(data []byte, to any, opts ...jsonv2.Options) error {
	err := jsonv2.Unmarshal(data, to, opts...)
	if err == nil {
		return nil
	}
	at, in, why := jsonFault(err)
	if in != "" {
		why = fmt.Sprintf("%s, in %q", why, in)
	}
	before := data[:at]
	line, column := bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%s:%d:%d: it is not the JSON of a request: %s", input.Display(p.file), line, column, why)
}

// jsonFault returns the offset of an error, the value that it is in, and what it says, without types of Go.
func jsonFault(err error) (at int64, in jsontext.Pointer, why string) {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return e.ByteOffset, e.JSONPointer, input.WithoutText(e.Err.Error())
	}
	e, ok := errors.AsType[*jsonv2.SemanticError](err)
	switch {
	case !ok:
		return 0, "", err.Error()
	case e.Err != nil && e.JSONValue == nil:
		return e.ByteOffset, e.JSONPointer, e.Err.Error()
	}
	switch e.GoType.Kind() {
	case reflect.String:
		why = "want a text"
	case reflect.Bool:
		why = "want true or false"
	case reflect.Slice:
		why = "want a list"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		why = "want an object"
	default:
		why = "want a whole number"
		if e.GoType.Kind() == reflect.Uint32 {
			why += fmt.Sprintf(" up to %d", uint32(math.MaxUint32))
		}
	}
	return e.ByteOffset, e.JSONPointer, why
}

func (p *pushSource) fileData() ([]byte, error) {
	from := p.cmd.InOrStdin()
	if p.file != "-" {
		f, slow, err := openFile(p.cmd.Context(), p.file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		from = slow
	}
	data, err := readText(from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", input.Display(p.file), err)
	}
	return data, nil
}

// readText reads a text in the encodings that the tool knows, with or without a byte order mark.
func readText(r io.Reader) ([]byte, error) {
	decoded, err := text.NewReader(r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(decoded, maxPushFile+1))
	if len(data) > maxPushFile {
		return nil, fmt.Errorf("it has more than %d KiB, and no push is that large", maxPushFile>>10)
	}
	return data, err
}

// maxPushFile is far more than a request of 500 accounts has.
const maxPushFile = 1 << 20

// conditionJSON is the documented Condition.
type conditionJSON struct {
	AttrsAnd timpush.Attrs `json:",omitzero"`
	AttrsOr  timpush.Attrs `json:",omitzero"`
	TagsAnd  []string      `json:",omitzero"`
	TagsNot  []string      `json:",omitzero"`
	TagsOr   []string      `json:",omitzero"`
}

func conditionOf(to timpush.Audience) conditionJSON {
	return conditionJSON{AttrsAnd: to.AttrsAnd, AttrsOr: to.AttrsOr, TagsAnd: to.TagsAnd, TagsNot: to.TagsNot, TagsOr: to.TagsOr}
}

// noNull refuses null as a text, which would be an empty one.
var noNull = jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, _ *string) error {
	if d.PeekKind() == jsontext.KindNull {
		return errors.New("there is a null in it, want a text")
	}
	return errors.ErrUnsupported // as usual
})

// captured is a transport that keeps the body of a request and sends nothing.
type captured struct{ body []byte }

// RoundTrip keeps the body.
func (c *captured) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.body = body
	return nil, errors.New("nothing is sent in a dry run")
}

func printRequest(out io.Writer, body []byte) error {
	var text bytes.Buffer
	if err := json.Indent(&text, body, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, text.String())
	return err
}

func newRevoke() *cobra.Command {
	var title, desc string
	var yes bool
	cmd := &cobra.Command{
		Use: "revoke TASKID", Short: "Withdraw a push of the last 24 hours", Args: usageArgs(cobra.ExactArgs(1)),
		Long: "Withdraw a push by its TaskID, at most 24 hours after it was sent. What has not been delivered yet is not, and notifications\n" +
			"that are shown are replaced by --title and --desc, or taken away without these.",
		Example: "  timpush revoke 660cc447_537ed82a_200000cd7ee17f5_84035729_bc614e --yes",
	}
	cmd.Flags().StringVar(&title, "title", "", "`text` of the title in its place")
	cmd.Flags().StringVar(&desc, "desc", "", "`text` of the notification in its place")
	cmd.Flags().BoolVar(&yes, "yes", false, "withdraw it")
	appFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes {
			return usage(errors.New("nothing was withdrawn: give --yes to do it"))
		}
		s, err := loadSettings(cmd)
		if err != nil {
			return err
		}
		client, err := newClientOf(s)
		if err != nil {
			return err
		}
		var replacement *timpush.Notification
		if title != "" || desc != "" {
			replacement = &timpush.Notification{Title: title, Desc: desc}
		}
		if err := client.Revoke(cmd.Context(), args[0], replacement); err != nil {
			return callFailed(err, "")
		}
		return printDone(cmd, "withdrawn")
	}
	return cmd
}
