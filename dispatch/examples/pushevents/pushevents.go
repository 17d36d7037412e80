// Package pushevents shows how a server takes the callbacks of pushes and stores their events in PostgreSQL, each once. Its example is
// the whole program. To try it without the service: timpush serve --callbacks http://127.0.0.1:7171.
//
// # Events repeat, get lost and have no ID
//
// So the table has a unique key over all that tells one event from another: the push, the account, the stage, the time, the channel
// and the error. An event that comes again violates it, and "on conflict do nothing" makes that harmless. Two devices of one account
// that reach the same stage over the same channel within a second count as one, since nothing in their events differs.
//
// An event that was lost stays lost: count clicks exactly by Client.PushStats, and use the table for who clicked, and when.
//
// # One second
//
// The service waits only a short time, so all events of a request are stored by one statement, which is given up before a second is
// over. The service is then told that the callback failed. Whether it sends the events again is not documented. The driver, lib/pq, waits
// for an answer whatever the context says: with the connections of a [Dialer] it gives up also where the database has gone without a word.
package pushevents

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	timpush "github.com/timpush/timpush-go"
)

// Handler returns the handler for the callback URL. A token is that of the console; "" if there is none. The table of [Schema] must
// be in the database.
func Handler(app int, token string, db *sql.DB) (http.Handler, error) {
	return timpush.NewCallbackHandler(timpush.Callbacks{
		SDKAppID: app, Token: token,
		Push: func(ctx context.Context, events []timpush.PushEvent) error {
			err := store(ctx, db, events)
			if err != nil {
				slog.ErrorContext(ctx, "events of pushes were not stored", "events", len(events), "error", err)
			}
			return err
		},
	})
}

// Schema is the table. Its key is all that tells one event from another; none of its columns can be null, which a key would not
// compare. An account is personal data: delete old events, by received for example.
const Schema = `
create table if not exists push_events (
	task_id    text        not null,
	account    text        not null,
	stage      int         not null, -- 1 sent, 2 reached, 3 clicked
	event_time timestamptz not null, -- in whole seconds
	event_type int         not null, -- 1 through the maker of the device, 2 to a connected device
	platform   int         not null,
	device     int         not null,
	err_code   int         not null, -- 0: it went well
	err_info   text        not null,
	data_id    text        not null,
	received   timestamptz not null default now(),
	primary key (task_id, account, stage, event_time, event_type, platform, device, err_code)
)`

// insert stores a list of events, given as JSON, and leaves out those that are there.
const insert = `
insert into push_events (task_id, account, stage, event_time, event_type, platform, device, err_code, err_info, data_id)
select * from jsonb_to_recordset($1) as e(task_id text, account text, stage int, event_time timestamptz, event_type int, platform int,
	device int, err_code int, err_info text, data_id text)
on conflict do nothing`

// storeTimeout leaves time for the answer within a second, and readTimeout time for the database to say that it has given up.
const (
	storeTimeout = 800 * time.Millisecond
	readTimeout  = 900 * time.Millisecond
)

// Dialer makes connections of which no read takes a second. Without it, one that has died silently would be waited for until the kernel
// gives it up, a quarter of an hour later, and soon all connections of the pool would be such.
type Dialer struct{ net.Dialer }

// DialContext dials.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return impatient{conn}, nil
}

// DialTimeout makes it a Dialer of the driver, which uses DialContext.
func (d *Dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

type impatient struct{ net.Conn }

// Read reads.
func (c impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// row is a row of the table.
type row struct {
	TaskID    string               `json:"task_id"`
	Account   string               `json:"account"`
	Stage     timpush.PushStage    `json:"stage"`
	EventTime time.Time            `json:"event_time"`
	EventType int                  `json:"event_type"`
	Platform  timpush.PushPlatform `json:"platform"`
	Device    timpush.PushPlatform `json:"device"`
	ErrCode   int                  `json:"err_code"`
	ErrInfo   string               `json:"err_info"`
	DataID    string               `json:"data_id"`
}

// store stores events, each once, in one statement: all of them or none.
func store(ctx context.Context, db *sql.DB, events []timpush.PushEvent) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	rows := make([]row, len(events))
	for i, e := range events {
		rows[i] = row{
			text(e.TaskID), text(e.ToAccount), e.PushStage, e.EventTime, e.EventType, e.PushPlatform, e.DeviceType, e.ErrCode, text(e.ErrInfo), text(e.DataID),
		}
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, insert, list)
	return err
}

// text removes NUL, which PostgreSQL does not store: one such event must not keep out those that came with it.
func text(s string) string { return strings.ReplaceAll(s, "\x00", "") }
