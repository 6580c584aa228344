package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
)

// controlCommand is this binary run as a server that gives everybody the same answer: what it takes is the machine's and the
// client's, and no program that answers on the same cores can do with less.
const controlCommand = "control"

// controlRate is how often a second it is asked: enough for a p99 in a few seconds, and hardly a load.
const controlRate = 200

const controlAnswer = `{"user_id":"u-00000000","name":"Nobody Nowhere","email":"nobody@example.org","event_count":3,"events":{"click":1,"page_view":2}}`

// control serves until ctx ends, or its standard input, which nobody writes to, with the one who started it.
func control(ctx context.Context, args []string) error {
	if len(args) != 0 {
		return errors.New("control is for the queries command")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening " + ln.Addr().String())
	answer := []byte(controlAnswer)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // a client that has gone away
	})}
	over := func() { _ = server.Close() }
	defer context.AfterFunc(ctx, over)()
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		over()
	}()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startControl starts the server, and returns the question that it is asked. The caller ends it.
func (b *bench) startControl(ctx context.Context, dir string) (*talk, query, error) {
	t, err := b.talkToPart(ctx, dir, controlCommand)
	if err != nil {
		return nil, query{}, err
	}
	listen, err := t.expect("listening ")
	if err != nil {
		t.end()
		return nil, query{}, err
	}
	return t, query{name: "a fixed answer", rate: controlRate, listen: listen, begins: `{"user_id":"`, path: constant("/")}, nil
}
