package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// scanCommand is this binary run as the consumer that programs are measured against. It is a process of its own so that
// its CPU time and memory can be told from the rest.
const scanCommand = "scan"

// scanned is what it prints when it is done: the whole result of a program that keeps nothing.
type scanned struct {
	Users map[string]uint64 `json:"users"`
	Types map[string]uint64 `json:"types"`
}

// scan reads the events once, looks for two fields in each and counts in maps. It checks nothing and remembers nothing: no
// program that counts can be faster with this client. args are the brokers and the topic.
func scan(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("scan is for the throughput command")
	}
	users, types := map[string]*uint64{}, map[string]*uint64{}
	var missing int
	err := readTopics(ctx, strings.Split(args[0], ","), []string{args[1]}, func(r *kgo.Record) {
		user, event := stringField(r.Value, `"user_id": "`), stringField(r.Value, `"event": "`)
		if user == nil || event == nil {
			missing++
			return
		}
		count(users, user)
		count(types, event)
	})
	if err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("%d records lack a field", missing)
	}
	if _, err := fmt.Println("complete"); err != nil {
		return err
	}
	// The result is asked for when the figures have been read: printing it is not what is measured.
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(scanned{values(users), values(types)})
}

func count(in map[string]*uint64, key []byte) {
	n := in[string(key)] // no allocation
	if n == nil {
		n = new(uint64)
		in[string(key)] = n
	}
	*n++
}

func values(in map[string]*uint64) map[string]uint64 {
	out := make(map[string]uint64, len(in))
	for k, n := range in {
		out[k] = *n
	}
	return out
}

// stringField returns what is between a beginning and the next quote.
func stringField(b []byte, begin string) []byte {
	at := bytes.Index(b, []byte(begin))
	if at < 0 {
		return nil
	}
	b = b[at+len(begin):]
	end := bytes.IndexByte(b, '"')
	if end < 0 {
		return nil
	}
	return b[:end]
}

// measureScan lets the bare consumer count once.
func measureScan(ctx context.Context, b *bench, d *data) (m measurement, err error) {
	m.Program = programScan
	dir, _, err := b.fresh("scan")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, b.discard(dir)) }()
	meter, err := b.meter()
	if err != nil {
		return m, err
	}
	t, err := b.talkToPart(ctx, dir, scanCommand, strings.Join(b.broker.servers, ","), d.eventsTopic)
	if err != nil {
		return m, err
	}
	defer t.end()
	if _, err := t.expect("complete"); err != nil {
		return m, err
	}
	if err := meter.read(&m, t.process); err != nil {
		return m, err
	}
	if _, err := io.WriteString(t.in, "\n"); err != nil {
		return m, err
	}
	var got scanned
	if err := json.NewDecoder(t.out).Decode(&got); err != nil {
		return m, err
	}
	c := d.want.check()
	for kind, n := range got.Types {
		c.kind(kind, n)
	}
	wrong := c.wrongCounts(got.Users)
	m.Exact = wrong == nil
	return m, wrong
}
