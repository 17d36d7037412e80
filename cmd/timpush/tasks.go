package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
)

const tasksLong = `Schedule pushes, and list, show, change or delete those that are scheduled. A task is a push that the service sends at its time; it has a
number, and once it was sent also the TaskID of the push.`

const tasksExample = `  timpush tasks add --tags gold --title Hello --desc 'New for you' --at '2099-01-01 09:00 Asia/Shanghai' --yes
  timpush tasks list
  timpush tasks show 4294967297
  timpush tasks change 4294967297 --in 2h --yes
  timpush tasks delete 4294967297 --yes`

const timesHelp = `A time has its zone: 2099-01-01T09:00:00+08:00, '2099-01-01 09:00 +08:00', '2099-01-01 09:00 Asia/Shanghai' or '2099-01-01 01:00 UTC'.`

// listedSpan is how far back tasks are listed, unless the flags say otherwise. The longest that the service takes is not documented.
const listedSpan = 30 * 24 * time.Hour

// clockAhead is how far beyond now tasks are listed: what has just been added has the time of the service, whose clock may be ahead. It would be
// added again if it were not listed.
const clockAhead = time.Hour

func newTasks() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tasks", Short: "Schedule pushes, and list, show, change or delete them", Long: tasksLong, Example: tasksExample, Args: usageArgs(known),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTasksAdd(), newTasksList(), newTasksShow(), newTasksChange(), newTasksDelete())
	return cmd
}

// when is the time of a task, as the flags have it.
type when struct {
	cmd *cobra.Command
	at  string
	in  time.Duration
}

func (w *when) flags(cmd *cobra.Command) {
	w.cmd = cmd
	cmd.Flags().StringVar(&w.at, "at", "", "`time` to send it, with its zone")
	cmd.Flags().DurationVar(&w.in, "in", 0, "`time` from now until it is sent, such as 90m")
}

// time returns the zero time if there is no flag.
func (w *when) time() (time.Time, error) {
	at, in := w.cmd.Flags().Changed("at"), w.cmd.Flags().Changed("in")
	switch {
	case at && in:
		return time.Time{}, errors.New("give either --at or --in, not both")
	case in && w.in <= 0:
		return time.Time{}, fmt.Errorf("--in %v: want a time that is still to come", w.in)
	case in:
		return time.Now().Add(w.in), nil
	case !at:
		return time.Time{}, nil
	}
	t, err := parseTime("--at", w.at)
	if err == nil && t.IsZero() {
		err = fmt.Errorf("--at %q: want a time that is still to come", w.at)
	}
	return t, err
}

func newTasksAdd() *cobra.Command {
	f, w := &pushFlags{forTask: true}, &when{}
	f.cmd = &cobra.Command{
		Use: "add", Short: "Schedule a push", Args: usageArgs(noArguments),
		Long: "Schedule a push, which is described as for timpush push, by flags or by a JSON file with the documented Content, and print the number of\n" +
			"the task. It can also be for listed accounts: --accounts, or To_Account in the file.\n\n" + timesHelp + "\n\n" +
			"Nothing is sent without --yes. A request whose answer was lost is not repeated, since that could schedule the push twice:\n" +
			"timpush tasks list shows whether the task is there.",
		Example: "  timpush tasks add --attr level=gold --title Hello --desc 'New for you' --in 2h --yes\n" +
			"  timpush tasks add --accounts mary,bob --title Hello --at '2099-01-01 09:00 Asia/Shanghai' --yes\n  timpush tasks add --file push.json --in 90m --dry-run",
		RunE: func(cmd *cobra.Command, _ []string) error { return addTask(cmd.Context(), f, w) },
	}
	f.describe()
	w.flags(f.cmd)
	f.cmd.Flags().BoolVar(&f.yes, "yes", false, "schedule it")
	f.cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the request and send nothing")
	return f.cmd
}

func addTask(ctx context.Context, f *pushFlags, w *when) error {
	at, err := w.time()
	switch {
	case err != nil:
		return usage(err)
	case at.IsZero():
		return usage(errors.New("when? give --at with a time and its zone, or --in"))
	}
	client, content, err := f.prepare()
	if err != nil {
		return err
	}
	id, err := client.AddTask(ctx, timpush.Schedule{At: at, TaskContent: content})
	if f.captured.body != nil {
		return fatal(printRequest(f.cmd.OutOrStdout(), f.captured.body))
	}
	if err != nil {
		return callFailed(err, "It may be scheduled: look at timpush tasks list"+sameApp(f.cmd)+" before you add it again")
	}
	number := strconv.FormatInt(id, 10)
	if id == 0 {
		number = "without a number in the answer, see timpush tasks list" + sameApp(f.cmd) + ","
	}
	return printDone(f.cmd, fmt.Sprintf("task %s is scheduled for %s", number, utc(at)))
}

func newTasksList() *cobra.Command {
	var q timpush.TaskQuery
	var from, to string
	cmd := &cobra.Command{
		Use: "list", Short: "List scheduled pushes, also those that were sent", Args: usageArgs(noArguments),
		Long: "List scheduled pushes, also those that were sent, the newest first: those that were added in the last 30 days, or from --from to --to;\n" +
			"with --order schedAt those that were or are to be sent from --from to --to.\n\n" + timesHelp,
		Example: "  timpush tasks list\n  timpush tasks list --order schedAt --from '2099-01-01 00:00 UTC' --to '2099-02-01 00:00 UTC' --json",
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "`time` at which to begin")
	flags.StringVar(&to, "to", "", "`time` at which to end")
	flags.StringVar(&q.OrderBy, "order", "createAt", "`createAt or schedAt`: the time that counts")
	flags.StringVar(&q.Keyword, "keyword", "", "only those with this `text` in the title or the notification")
	flags.Bool("json", false, "write an object on each line, for a program")
	appFlags(flags)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if !strings.EqualFold(q.OrderBy, "createAt") && !strings.EqualFold(q.OrderBy, "schedAt") { // editions of the documentation differ in the case
			return usage(fmt.Errorf("--order %q: want createAt or schedAt", q.OrderBy))
		}
		if strings.EqualFold(q.OrderBy, "schedAt") && !(cmd.Flags().Changed("from") && cmd.Flags().Changed("to")) { // what is not listed would be added again
			return usage(errors.New("--order schedAt: give --from and --to, between which they were or are to be sent"))
		}
		if q.BeginTime, q.EndTime, err = span(cmd.Flags(), from, to, listedSpan, clockAhead); err != nil {
			return usage(err)
		}
		client, _, err := newClient(cmd)
		if err != nil {
			return err
		}
		return listTasks(cmd, client, q)
	}
	return cmd
}

func listTasks(cmd *cobra.Command, client *timpush.Client, q timpush.TaskQuery) error {
	out := cmd.OutOrStdout()
	asJSON, _ := cmd.Flags().GetBool("json")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	n := 0
	for task, err := range client.Tasks(cmd.Context(), q) {
		if err != nil {
			return errors.Join(callFailed(err, ""), table.Flush())
		}
		if n++; n == 1 && !asJSON {
			_, _ = fmt.Fprintln(table, "TASK\tTYPE\tSCHEDULED\tSTATUS\tTITLE\tPUSH") // an error comes again from Flush
		}
		if asJSON {
			if err := plainJSON(out).Encode(taskJSON(task)); err != nil {
				return fatal(err)
			}
			continue
		}
		_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", task.TaskID, printable(string(task.Type)), utc(task.SchedAt),
			printable(task.Status), printable(task.Title), dash(task.PushTaskID))
	}
	if n == 0 && !asJSON {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "there are no tasks from %s to %s\n", utc(q.BeginTime), utc(q.EndTime))
	}
	return fatal(table.Flush())
}

func newTasksShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show TASK", Short: "Show a scheduled push", Args: usageArgs(cobra.ExactArgs(1)), Example: "  timpush tasks show 4294967297"}
	cmd.Flags().Bool("json", false, "for a program; its Content is a file for timpush tasks add")
	appFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, task, err := findTask(cmd, nil, args[0])
		if err != nil {
			return err
		}
		if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
			return fatal(plainJSON(cmd.OutOrStdout()).Encode(taskJSON(task)))
		}
		return fatal(showTask(cmd, task))
	}
	return cmd
}

// findTask reads the task that an argument names, with a client that it makes if there is none yet.
func findTask(cmd *cobra.Command, client *timpush.Client, arg string) (*timpush.Client, *timpush.Task, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || id <= 0 {
		return nil, nil, usage(fmt.Errorf("%q is not the number of a task: see timpush tasks list", arg))
	}
	if client == nil {
		if client, _, err = newClient(cmd); err != nil {
			return nil, nil, err
		}
	}
	task, err := client.Task(cmd.Context(), id)
	if call, ok := errors.AsType[*timpush.CallError](err); ok && call.Outcome == timpush.Rejected {
		err = fmt.Errorf("%w\nIs there a task %d? See: timpush tasks list%s", err, id, sameApp(cmd)) // the code for this is not documented
	}
	if err != nil {
		return nil, nil, callFailed(err, "")
	}
	task.TaskID = id
	return client, task, nil
}

func showTask(cmd *cobra.Command, t *timpush.Task) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"task", strconv.FormatInt(t.TaskID, 10)}, {"type", string(t.Type)}, {"status", t.Status}, {"scheduled", utc(t.SchedAt)}, {"added", utc(t.CreateAt)},
		{"to", audienceText(t.Content)}, {"title", cmp.Or(t.Title, t.Content.Push.Notification.Title)},
		{"text", cmp.Or(t.Desc, t.Content.Push.Notification.Desc)}, {"failure", t.DispatchErr}, {"push", t.PushTaskID},
	} {
		if line[1] != "" {
			_, _ = fmt.Fprintf(table, "%s\t%s\n", line[0], printable(line[1])) // an error comes again from Flush
		}
	}
	return table.Flush()
}

// shownAccounts is how many accounts of a task are shown.
const shownAccounts = 10

// audienceText says whom a task is for.
func audienceText(c timpush.TaskContent) string {
	switch {
	case c.To.Everybody:
		return "everybody"
	case len(c.Accounts) > shownAccounts:
		return fmt.Sprintf("%s and %d more", strings.Join(c.Accounts[:shownAccounts], ", "), len(c.Accounts)-shownAccounts)
	case c.Accounts != nil:
		return strings.Join(c.Accounts, ", ")
	}
	var text strings.Builder
	_ = plainJSON(&text).Encode(conditionOf(c.To)) // strings always can be encoded
	return strings.TrimSpace(text.String())
}

// taskJSON returns a task as programs read it: names as in the documentation, and times with their zone.
func taskJSON(t *timpush.Task) map[string]any {
	content := map[string]any{"OfflinePushInfo": t.Content.Push.Notification}
	for name, value := range t.Content.Push.Extra {
		content[name] = value
	}
	for name, text := range map[string]string{"From_Account": t.Content.Push.From, "DataId": t.Content.Push.DataID} {
		if text != "" {
			content[name] = text
		}
	}
	if t.Content.Accounts != nil {
		content["To_Account"] = t.Content.Accounts
	} else if !t.Content.To.Everybody {
		content["Condition"] = conditionOf(t.Content.To)
	}
	task := map[string]any{
		"TaskID": t.TaskID, "Type": t.Type, "Status": t.Status, "Title": t.Title, "Desc": t.Desc,
		"DispatchSuccess": t.DispatchSuccess, "DispatchErr": t.DispatchErr, "PushTaskID": t.PushTaskID, "Content": content,
	}
	for name, at := range map[string]time.Time{"SchedAt": t.SchedAt, "CreateAt": t.CreateAt} {
		if !at.IsZero() {
			task[name] = at.UTC()
		}
	}
	return task
}

func newTasksChange() *cobra.Command {
	f, w := &pushFlags{forTask: true}, &when{}
	f.cmd = &cobra.Command{
		Use: "change TASK", Short: "Change a push that was not sent yet: its time, or all of its content", Args: usageArgs(cobra.ExactArgs(1)),
		Long: "Change when a push is sent, or what is sent, while it is pending. What is sent is replaced as a whole, so give all flags of it, as for\n" +
			"timpush tasks add. Whether it is for everybody, for a condition or for accounts cannot be changed.\n\n" + timesHelp,
		Example: "  timpush tasks change 4294967297 --in 2h --yes\n  timpush tasks change 4294967297 --file push.json --yes",
		RunE:    func(_ *cobra.Command, args []string) error { return changeTask(f, w, args[0]) },
	}
	f.describe()
	w.flags(f.cmd)
	f.cmd.Flags().BoolVar(&f.yes, "yes", false, "change it")
	return f.cmd
}

func changeTask(f *pushFlags, w *when, arg string) error {
	at, err := w.time()
	switch {
	case err != nil:
		return usage(err)
	case at.IsZero() && !f.given():
		return usage(errors.New("change what? give --at, --in, or flags that describe the push"))
	case !f.yes:
		return usage(errors.New("nothing was changed: give --yes to change it"))
	}
	change := timpush.TaskChange{At: at}
	var client *timpush.Client
	if f.given() {
		change.Content = &timpush.TaskContent{}
		if client, *change.Content, err = f.prepare(); err != nil {
			return err
		}
	}
	client, task, err := findTask(f.cmd, client, arg)
	if err != nil {
		return err
	}
	change.Type = task.Type
	if err := client.ModifyTask(f.cmd.Context(), task.TaskID, change); err != nil {
		return callFailed(err, "It may be changed: look at timpush tasks show "+arg+sameApp(f.cmd))
	}
	return printDone(f.cmd, "changed")
}

func newTasksDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete TASK", Short: "Delete a push that was not sent yet", Args: usageArgs(cobra.ExactArgs(1)), Example: "  timpush tasks delete 4294967297 --yes",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete it")
	appFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes {
			return usage(errors.New("nothing was deleted: give --yes to delete it"))
		}
		client, task, err := findTask(cmd, nil, args[0])
		if err != nil {
			return err
		}
		if err := client.DeleteTask(cmd.Context(), task.TaskID, task.Type); err != nil {
			return callFailed(err, "It may be deleted: look at timpush tasks list"+sameApp(cmd))
		}
		return printDone(cmd, "deleted")
	}
	return cmd
}
