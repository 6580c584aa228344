package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestPartitioner: franz-go, our own formula and goka's hasher with sarama's partitioner place every key alike.
func TestPartitioner(t *testing.T) {
	keys := []string{"", "55f3n\xe2", "\x00", "__offset", "-12"} // the second has the hash 0x80000000, that is its own negative
	r := rand.New(rand.NewPCG(1, 0))
	for range 10_000 {
		k := make([]byte, r.IntN(24))
		for i := range k {
			k[i] = byte(r.Uint32())
		}
		keys = append(keys, string(k))
	}
	ours := Partitioner().ForTopic("t")
	theirs := sarama.NewCustomHashPartitioner(goka.DefaultHasher())("t")
	for _, n := range []int32{1, 4, 16, 64} {
		used := map[int32]bool{}
		for _, k := range keys {
			want, err := theirs.Partition(&sarama.ProducerMessage{Topic: "t", Key: sarama.ByteEncoder(k)}, n)
			if err != nil {
				t.Fatal(err)
			}
			used[want] = true
			if got := int32(ours.Partition(&kgo.Record{Key: []byte(k)}, int(n))); got != want {
				t.Fatalf("key %q of %d partitions: franz-go %d, sarama %d", k, n, got, want)
			}
			if got := PartitionOf([]byte(k), n); got != want {
				t.Fatalf("key %q of %d partitions: PartitionOf %d, sarama %d", k, n, got, want)
			}
		}
		if len(used) != int(n) {
			t.Errorf("%d of %d partitions are used", len(used), n)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"no servers":       {func(c *Config) { c.BootstrapServers = nil }, []string{"no bootstrap servers: give --bootstrap-servers"}},
		"no port":          {func(c *Config) { c.BootstrapServers = []string{"a:1", "b"} }, []string{`bootstrap server "b" has no port`}},
		"unknown protocol": {func(c *Config) { c.SecurityProtocol = "ssl" }, []string{`security protocol "ssl" is none of PLAINTEXT`}},
		"unknown mechanism": {
			func(c *Config) {
				c.SecurityProtocol, c.SASLMechanism, c.Username, c.Password = SASLPlaintext, "GSSAPI", "u", "p"
			},
			[]string{`SASL mechanism "GSSAPI" is none of PLAIN`},
		},
		"no password":           {func(c *Config) { c.SecurityProtocol, c.Username = SASLPlaintext, "u" }, []string{"needs a user name and a password"}},
		"half a certificate":    {func(c *Config) { c.SecurityProtocol, c.CertFile = SSL, "x" }, []string{"needs both --tls-cert-file and --tls-key-file"}},
		"no CA file":            {func(c *Config) { c.SecurityProtocol, c.CAFile = SSL, empty+"x" }, []string{"read --tls-ca-file"}},
		"empty CA file":         {func(c *Config) { c.SecurityProtocol, c.CAFile = SSL, empty }, []string{"holds no PEM certificate"}},
		"TLS files for nothing": {func(c *Config) { c.CAFile = empty }, []string{"does not use TLS"}},
		"all at once": {
			func(c *Config) { *c = Config{SecurityProtocol: "SASL_X", KeyFile: "k"} },
			[]string{"no bootstrap servers", `"SASL_X" is none of`, `SASL mechanism ""`, "needs a user name", "needs both"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Defaults()
			tc.change(&c)
			err := c.Validate()
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// TestSecretIsNeverPrinted by anything that formats a configuration.
func TestSecretIsNeverPrinted(t *testing.T) {
	const secret = "hunter2"
	c := Defaults()
	c.Username, c.Password, c.SecurityProtocol = "u", secret, SASLPlaintext
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%o", "%10s"} {
		for _, v := range []any{c, &c, c.Password, &c.Password, []Secret{secret}, map[string]Secret{"p": secret}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "config", c, "pointer", &c, "password", c.Password, "list", []Secret{secret})
	}
	if err := json.NewEncoder(&out).Encode(map[string]any{"config": c, "password": c.Password}); err != nil {
		t.Fatal(err)
	}
	c.Password = ""
	fmt.Fprintln(&out, c.Validate())
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, secret) || strings.Contains(strings.ToLower(line), fmt.Sprintf("%x", secret)) {
			t.Errorf("printed: %s", line)
		}
	}
	if !strings.Contains(out.String(), "***") {
		t.Error("nothing stands for the secret")
	}
}

// frame is a message as it goes over a connection: its length, and what follows.
func frame(head []byte, body int) []byte {
	n := len(head) + body
	return append(append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, head...), make([]byte, body)...)
}

func request(api byte, id byte) []byte { return frame([]byte{0, api, 0, 1, 0, 0, 0, id}, 11) }
func answer(id byte, body int) []byte  { return frame([]byte{0, 0, 0, id}, body) }

// script is a connection that takes everything and says what it is told to, in pieces.
type script struct {
	net.Conn
	pieces [][]byte
}

func (s *script) Write(b []byte) (int, error) { return len(b), nil }
func (s *script) Read(b []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestHeartbeatConn(t *testing.T) {
	for split := 1; split < 60; split++ {
		var stream []byte
		for _, a := range [][]byte{answer(1, 0), answer(2, 9), answer(3, 300), answer(9, 4), answer(4, 2), answer(5, 0)} {
			stream = append(stream, a...)
		}
		s := new(script)
		for len(stream) > 0 {
			n := min(split, len(stream))
			s.pieces, stream = append(s.pieces, stream[:n]), stream[n:]
		}
		var alive []time.Time
		c := &heartbeatConn{Conn: s, alive: func(at time.Time) { alive = append(alive, at) }, asked: map[uint32]time.Time{}}
		before := time.Now()
		for id, api := range []byte{3, apiHeartbeat, 1, apiJoinGroup, apiSyncGroup, 8} { // ids 0 to 5
			if _, err := c.Write(request(api, byte(id))); err != nil {
				t.Fatal(err)
			}
		}
		after := time.Now()
		buffer := make([]byte, 1+split%7)
		for {
			if _, err := c.Read(buffer); err != nil {
				break
			}
		}
		// The join and the sync say that they wait; then 1, 3 and 4 are answered; not the metadata, fetch and commit, not the
		// answer to nothing.
		if len(alive) != 5 || !alive[0].IsZero() || !alive[1].IsZero() {
			t.Fatalf("pieces of %d: signs of life %v", split, alive)
		}
		if at := alive[2]; at.Before(before) || at.After(after) {
			t.Fatal("a heartbeat's time is not that of the request")
		}
		for _, at := range alive[3:] {
			if at.Before(after) {
				t.Fatal("being let in does not count from the answer")
			}
		}
		if len(c.asked) != 0 {
			t.Fatalf("%d requests are kept", len(c.asked))
		}
	}
}

func TestPing(t *testing.T) {
	const limit = time.Second
	ping := func(addr string) error {
		c := Defaults()
		c.BootstrapServers = []string{addr}
		start := time.Now()
		err := c.Ping(t.Context(), limit)
		if took := time.Since(start); took > limit+3*time.Second {
			t.Errorf("%s: took %s", addr, took)
		}
		return err
	}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	addr := broker.ListenAddrs()[0]
	if err := ping(addr); err != nil {
		t.Error(err)
	}
	if err := ping(hangingUp(t, addr, 5)); err != nil {
		t.Errorf("a broker that hangs up five times: %v", err)
	}
	broker.Close()
	says := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "no broker at ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	says(ping(addr), "connection refused")
	says(ping(addr), "check --bootstrap-servers")
	says(ping(hangingUp(t, addr, math.MaxInt)), "broker closed the connection")

	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	says(ping(mute.Addr().String()), "--security-protocol (now PLAINTEXT)")

	other, err := net.Listen("tcp", "127.0.0.1:0") // another protocol's port
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}
	}()
	says(ping(other.Addr().String()), "check --bootstrap-servers")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Defaults().Ping(ctx, limit); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// hangingUp returns an address that leads to another, but for the first connections, which end with their first request.
func hangingUp(t *testing.T, addr string, times int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if n < times {
				_, _ = c.Read(make([]byte, 1<<10))
				c.Close()
				continue
			}
			up, err := net.Dial("tcp", addr)
			if err != nil {
				c.Close()
				return
			}
			go io.Copy(up, c)
			go io.Copy(c, up)
		}
	}()
	return l.Addr().String()
}
