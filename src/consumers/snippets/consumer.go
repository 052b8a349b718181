// Reads the log of Verbatim as the consumer @NAME@. Needs: go get github.com/nats-io/nats.go
package main

import (
	"context"
	"fmt"
	"log"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const name = "@NAME@"
const creds = "@CREDS@"

var servers = []string{"@SERVERS@"}
var streams = []string{"@STREAMS@"}

// Events of other types are acknowledged and passed over; an empty list means all.
var types = []string{"@TYPES@"}

var version = regexp.MustCompile(`\.v\d+$`)

func main() {
	nc, err := nats.Connect(strings.Join(servers, ","), nats.UserCredentials(creds), nats.Name(name),
		nats.CustomInboxPrefix("_INBOX_"+name))
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "log.api")
	if err != nil {
		log.Fatal(err)
	}
	for _, stream := range streams {
		consumer, err := js.Consumer(context.Background(), stream, name)
		if err != nil {
			log.Fatal(err)
		}
		// An event comes again if it is not acknowledged within a second, so few are fetched at once.
		if _, err := consumer.Consume(handle, jetstream.PullMaxMessages(20)@GROUP@); err != nil {
			log.Fatal(err)
		}
	}
	select {}
}

func handle(event jetstream.Msg) {
	kind := version.ReplaceAllString(strings.TrimPrefix(event.Headers().Get("ce-type"), "verbatim."), "")
	subject := event.Headers().Get("verbatim-subject")
	// A copy of a parked event says where the event lies.
	position := event.Headers().Get("verbatim-position")
	if position == "" {
		if about, err := event.Metadata(); err == nil {
			position = fmt.Sprint(about.Sequence.Stream)
		}
		subject = event.Subject()
	}
	if len(types) == 0 || slices.Contains(types, kind) {
		fmt.Println(position, subject, kind, string(event.Data()))
	}
	// Only what is done is acknowledged; the rest comes again.
	if err := event.Ack(); err != nil {
		log.Print(err)
	}
}
