// Reads the log of Verbatim as the consumer @NAME@. Needs: go get github.com/nats-io/nats.go
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const name = "@NAME@"
const creds = "@CREDS@"

var servers = []string{"@SERVERS@"}
var streams = []string{"@STREAMS@"}

// Events of other types are acknowledged and passed over; an empty list means all.
var types = []string{"@TYPES@"}

// Of all processes of a group one reads, and the others stand by. An empty name means that every process reads.
const group = "@GROUP@"

var version = regexp.MustCompile(`\.v\d+$`)

func main() {
	nc, err := nats.Connect(strings.Join(servers, ","), nats.UserCredentials(creds), nats.Name(name),
		nats.CustomInboxPrefix("_INBOX_"+name), nats.MaxReconnects(-1),
		// Credentials that were revoked do not come back.
		nats.ClosedHandler(func(nc *nats.Conn) { log.Fatal(nc.LastError()) }))
	if err != nil {
		log.Fatal(err)
	}
	for _, stream := range streams {
		go read(nc, stream)
	}
	select {}
}

// The request, in JSON, by which a durable gives its next events.
type next struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires"`
	Group   string        `json:"group,omitempty"`
	Pin     string        `json:"id,omitempty"`
}

func read(nc *nats.Conn, stream string) {
	events, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		log.Fatal(err)
	}
	// An event comes again if it is not acknowledged within a second, so few are asked for at once.
	ask := next{Batch: 20, Expires: 5 * time.Second, Group: group}
	for {
		request, _ := json.Marshal(ask)
		err := nc.PublishRequest("log.api.CONSUMER.MSG.NEXT."+stream+"."+name, events.Subject, request)
		if err != nil {
			log.Print(err)
			time.Sleep(time.Second)
			continue
		}
		for n := 0; n < ask.Batch; n++ {
			event, err := events.NextMsg(10 * time.Second)
			if err != nil {
				break
			}
			if status := event.Header.Get("Status"); status != "" {
				switch status {
				case "408": // nothing more came in time
				case "423": // another process has taken over
					ask.Pin = ""
				default:
					log.Print(stream, ": ", status, " ", event.Header.Get("Description"))
					time.Sleep(time.Second)
				}
				break
			}
			if pin := event.Header.Get("Nats-Pin-Id"); pin != "" {
				ask.Pin = pin
			}
			handle(event)
		}
	}
}

func handle(event *nats.Msg) {
	kind := version.ReplaceAllString(strings.TrimPrefix(event.Header.Get("ce-type"), "verbatim."), "")
	// A copy of a parked event says where the event lies.
	position, subject := event.Header.Get("verbatim-position"), event.Header.Get("verbatim-subject")
	if position == "" {
		if about, err := event.Metadata(); err == nil {
			position = fmt.Sprint(about.Sequence.Stream)
		}
		subject = event.Subject
	}
	if len(types) == 0 || slices.Contains(types, kind) {
		fmt.Println(position, subject, kind, string(event.Data))
	}
	// Only what is done is acknowledged; the rest comes again.
	if err := event.Ack(); err != nil {
		log.Print(err)
	}
}
