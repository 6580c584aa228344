package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

// running is a demo that was started; where it is comes from what it says.
type running struct {
	out, log    *syncBuffer
	page, kafka string
	exit        chan int
}

func startDemo(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &running{out: new(syncBuffer), log: new(syncBuffer), exit: make(chan int, 1)}
	env := map[string]string{"POTOK_DATA_DIR": t.TempDir()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.exit <- run(ctx, append([]string{"demo"}, args...), func(k string) string { return env[k] }, d.out, d.log)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended // its directory goes next
		if t.Failed() {
			t.Logf("demo says:\n%s%s", d.log, d.out)
		}
	})
	says := regexp.MustCompile(`page: (\S+)   kafka: (\S+)`)
	eventually(t, "the demo says where it is", func() error {
		m := says.FindStringSubmatch(d.log.String())
		if m == nil {
			return fmt.Errorf("it says %s%s", d.log, d.out)
		}
		d.page, d.kafka = m[1], m[2]
		return nil
	})
	return d
}

// shows waits until the terminal shows both results.
func (d *running) shows(t *testing.T) {
	t.Helper()
	eventually(t, "the terminal shows both results", func() error {
		if out := d.out.String(); !strings.Contains(out, "Events by user:") || !strings.Contains(out, "Events by type:") {
			return fmt.Errorf("the terminal shows %q", out)
		}
		return nil
	})
}

func (d *running) ready(hc *http.Client) error {
	resp, err := hc.Get(d.page + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

func TestDemo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	d := startDemo(t, "--listen", ":0", "--users", "7", "--rate", "50", "--kafka-port", fmt.Sprint(port))
	if want := fmt.Sprintf("127.0.0.1:%d", port); d.kafka != want {
		t.Errorf("the broker is at %s, want %s", d.kafka, want)
	}
	// No browser opens http://[::]:8080.
	if !regexp.MustCompile(`^http://localhost:\d+$`).MatchString(d.page) {
		t.Errorf("the page is at %s", d.page)
	}
	if !strings.Contains(d.log.String(), "anybody who reaches this address can read everything") {
		t.Error("listening beyond the loopback without a token is not warned of")
	}
	d.shows(t)
	eventually(t, "it is ready", func() error { return d.ready(http.DefaultClient) })

	cl, err := kgo.NewClient(kgo.SeedBrokers(d.kafka), kgo.ConsumeTopics(codecs.DefaultNames().Users))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	seen := 0
	read := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		seen += cl.PollFetches(ctx).NumRecords()
		return seen
	}
	eventually(t, "other clients read the users", func() error {
		if n := read(); n < 7 {
			return fmt.Errorf("%d users", n)
		}
		return nil
	})
	if n := read(); n != 7 {
		t.Errorf("%d users, want 7", n)
	}
}

func TestDemoEnds(t *testing.T) {
	t.Parallel()
	began := time.Now()
	const duration = 2 * time.Second
	d := startDemo(t, "--listen", "127.0.0.1:0", "--duration", duration.String())
	select {
	case code := <-d.exit:
		if took := time.Since(began); code != exitDone || took < duration {
			t.Errorf("exit code %d after %s", code, took)
		}
	case <-time.After(deadline):
		t.Fatal("it does not end by itself")
	}
}

// TestDemoOverTLS has a certificate that names another host than the one it is asked at, as certificates for a public name do.
func TestDemoOverTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := certificate(t, []string{"potok.example.org"})
	d := startDemo(t, "--listen", "127.0.0.1:0", "--users", "3", "--rate", "50", "--http-cert-file", certFile, "--http-key-file", keyFile)
	if !strings.HasPrefix(d.page, "https://127.0.0.1:") {
		t.Errorf("the page is at %s", d.page)
	}
	d.shows(t)
	pool, err := trust(certFile)
	if err != nil {
		t.Fatal(err)
	}
	pool.ServerName = "potok.example.org"
	eventually(t, "it is ready", func() error {
		return d.ready(&http.Client{Transport: &http.Transport{TLSClientConfig: pool}})
	})
	if strings.Contains(d.log.String(), "anybody who reaches this address") {
		t.Error("listening on the loopback is warned of")
	}
	// Nobody but the demo itself takes the certificate for another name's.
	if code, _, errs := ask(t, nil, "query", "stats", "--server", d.page, "--http-ca-file", certFile); code != exitFailed || !strings.Contains(errs, "certificate") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
