package dispatch_test

import (
	"context"
	"log"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/timpush/timpush-go/dispatch"
)

// dropping is a dialer of connections that drop what they have not delivered when they are closed.
type dropping struct{ net.Dialer }

func (d *dropping) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetLinger(0)
	}
	return conn, err
}

// The connection to servers of your own needs all of these options.
func ExampleOpen() {
	conn, err := nats.Connect("nats://one.example.com,nats://two.example.com,nats://three.example.com",
		nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(), nats.PingInterval(2*time.Second),
		nats.SetCustomDialer(&dropping{net.Dialer{Timeout: 2 * time.Second}}))
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		log.Fatal(err)
	}
	queue, err := dispatch.Open(context.Background(), js, 1400000000, dispatch.WithReplicas(3))
	if err != nil {
		log.Fatal(err)
	}
	_ = queue.Close() // at the end of the program, after Run
	conn.Close()
}
