package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
)

const statsLong = `Show how many devices pushes were sent to, how many they have reached, and how many users have clicked, by their TaskIDs. Without a TaskID it is
the total of all pushes.

The service keeps these figures for 30 days, and answers one request a second, for five TaskIDs. --loss also shows why devices were
not reached, over the last 7 days.`

// The longest times that the service answers about.
const (
	longestStats = 30 * 24 * time.Hour
	longestLoss  = 7 * 24 * time.Hour
)

func newStats() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use: "stats [TASKID...]", Short: "Show how many devices a push has reached, and how many clicks it has", Long: statsLong + "\n\n" + timesHelp,
		Example: "  timpush stats 660cc447_537ed82a_200000cd7ee17f5_84035729_bc614e\n  timpush stats --loss --json 660cc447_537ed82a_200000cd7ee17f5_84035729_bc614e\n" +
			"  timpush stats                                  # all pushes of the last 30 days together",
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "`time` at which to begin, at most 30 days before --to; 30 days before it if not given")
	flags.StringVar(&to, "to", "", "`time` at which to end; now if not given")
	flags.Bool("loss", false, "show why devices were not reached, too")
	flags.Bool("json", false, "write an object on each line, for a program")
	appFlags(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		begin, end, err := span(cmd.Flags(), from, to, longestStats, 0)
		if err != nil {
			return usage(err)
		}
		client, _, err := newClient(cmd)
		if err != nil {
			return err
		}
		return showStats(cmd, client, begin, end, args)
	}
	return cmd
}

// pushFigures are the figures of a push.
type pushFigures struct {
	timpush.PushStats
	Loss *timpush.PushLoss `json:",omitempty"` // nil unless it is asked for
}

func showStats(cmd *cobra.Command, client *timpush.Client, from, to time.Time, taskIDs []string) error {
	figures, err := readFigures(cmd, client, from, to, taskIDs)
	out := cmd.OutOrStdout()
	asJSON, _ := cmd.Flags().GetBool("json")
	for _, f := range figures {
		if asJSON {
			err = errors.Join(err, plainJSON(out).Encode(f))
		} else {
			err = errors.Join(err, f.print(out))
		}
	}
	if _, invalid := errors.AsType[*timpush.InputErrors](err); invalid {
		return usage(err)
	}
	if err != nil {
		return fatal(err)
	}
	return missingFigures(figures, taskIDs)
}

// missingFigures returns an error that names the TaskIDs which the service has left out, or says that there is nothing at all, or nil.
func missingFigures(figures []pushFigures, taskIDs []string) error {
	var missing []string
	for _, id := range taskIDs {
		if !slices.ContainsFunc(figures, func(f pushFigures) bool { return f.TaskID == id }) {
			missing = append(missing, printable(id))
		}
	}
	switch {
	case len(missing) > 0:
		return &exitError{exitSome, fmt.Errorf("the service has no figures in this time of the push %s", strings.Join(missing, ", "))}
	case len(figures) == 0:
		return &exitError{exitSome, errors.New("the service has no figures in this time")}
	}
	return nil
}

// readFigures asks for the figures, and returns what it has with an error.
func readFigures(cmd *cobra.Command, client *timpush.Client, from, to time.Time, taskIDs []string) (figures []pushFigures, err error) {
	stats, err := client.PushStats(cmd.Context(), from, to, taskIDs...)
	for _, s := range stats {
		figures = append(figures, pushFigures{PushStats: s})
	}
	if withLoss, _ := cmd.Flags().GetBool("loss"); !withLoss || err != nil {
		return figures, err
	}
	if week := to.Add(-longestLoss); from.Before(week) {
		from = week
	}
	losses, err := client.PushLoss(cmd.Context(), from, to, taskIDs...)
	for _, loss := range losses {
		for i := range figures {
			if figures[i].TaskID == loss.TaskID {
				figures[i].Loss = &loss
			}
		}
	}
	return figures, err
}

// print writes a chart, and a table of the platforms.
func (f *pushFigures) print(out io.Writer) error {
	title := "push " + printable(f.TaskID)
	if f.TaskID == "" {
		title = "all pushes"
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, title) // errors come again from Flush
	for _, row := range []struct {
		name string
		n    int
	}{{"devices", f.TotalCount}, {"sent", f.SentCount}, {"reached", f.DeliveredCount}, {"clicked", f.ClickCount}} {
		_, _ = fmt.Fprintf(out, "  %-8s %9s  %s\n", row.name, figure(row.n), bar(row.n, f.TotalCount))
	}
	if len(f.PlatformStatistics) > 0 {
		_, _ = fmt.Fprintln(table, "  PLATFORM\tDEVICES\tSENT\tREACHED\tCLICKED")
	}
	for _, p := range f.PlatformStatistics {
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", platformText(p.PushPlatform, p.EventType),
			figure(p.TotalCount), figure(p.SentCount), figure(p.DeliveredCount), figure(p.ClickCount))
	}
	if f.Loss != nil {
		printLoss(table, "NOT SENT", f.Loss.ReadyToSendLoss)
		printLoss(table, "SENT AND NOT REACHED", f.Loss.PostSendDeliveredLoss)
	}
	return table.Flush()
}

func printLoss(out io.Writer, title string, losses []timpush.Loss) {
	if len(losses) > 0 {
		_, _ = fmt.Fprintf(out, "  %s\tCODE\tREASON\n", title)
	}
	for _, l := range losses {
		_, _ = fmt.Fprintf(out, "  %s\t%s\t%s\n", figure(l.ErrCount), dash(l.ErrCode), dash(l.ErrInfo))
	}
}

// figure returns a number of the statistics, which is negative if the service sent something else.
func figure(n int) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}

// bar shows a share of all, 30 characters long at most.
func bar(n, all int) string {
	if n < 0 || all <= 0 {
		return ""
	}
	share := min(float64(n)/float64(all), 1)
	return fmt.Sprintf("%-30s %3.0f %%", strings.Repeat("#", int(share*30+0.5)), 100*share)
}

// platformText names a platform. A device that is connected has none.
func platformText(p timpush.PushPlatform, event int) string {
	if event == 2 {
		return "connected"
	}
	return p.String()
}
