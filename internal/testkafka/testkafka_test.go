package testkafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func TestRestartKeepsData(t *testing.T) {
	b := Start(t, Set("num.io.threads", "2"))
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	client := newClient(t, b)
	createTopic(ctx, t, client, "numbers")

	var want []string
	steps := []func(){b.Stop, b.Kill, func() {}}
	for i, end := range steps {
		for j := range 10 {
			value := fmt.Sprintf("%d/%d", i, j)
			want = append(want, value)
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: "numbers", Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatalf("produce %s: %v", value, err)
			}
		}
		end()
		b.Restart()
	}

	consumer := newClient(t, b, kgo.ConsumeTopics("numbers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var got []string
	for len(got) < len(want) {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("consume: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("consumed %q, want %q", got, want)
	}
}

func TestSASL(t *testing.T) {
	b := Start(t, SASL())
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()

	right := newClient(t, b, security(t, b, b.Env["KAFKA_SASL_PASSWORD"])...)
	createTopic(ctx, t, right, "secret")
	if err := right.ProduceSync(ctx, &kgo.Record{Topic: "secret", Value: []byte("x")}).FirstErr(); err != nil {
		t.Errorf("produce with the right password: %v", err)
	}

	wrong := newClient(t, b, security(t, b, "wrong")...)
	quick, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := wrong.Ping(quick)
	if !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("with a wrong password: %v, want %v", err, kerr.SaslAuthenticationFailed)
	}

	plain := newClient(t, b)
	quick, cancel = context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if plain.Ping(quick) == nil {
		t.Error("the broker speaks to a client without TLS")
	}
}

func TestParseEnv(t *testing.T) {
	got, err := parseEnv("A=b\nC='d e'\nF='g'\\''h='\nI=''\n")
	want := map[string]string{"A": "b", "C": "d e", "F": "g'h=", "I": ""}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := parseEnv("A=b\nnonsense\n"); err == nil {
		t.Error("a line without = is accepted")
	}
}

func newClient(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addrs...)}, opts...)...)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

func security(t *testing.T, b *Broker, password string) []kgo.Opt {
	t.Helper()
	pem, err := os.ReadFile(b.Env["POTOK_TLS_CA_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the broker's ca.pem")
	}
	login := scram.Auth{User: b.Env["KAFKA_SASL_USERNAME"], Pass: password}
	return []kgo.Opt{kgo.DialTLSConfig(&tls.Config{RootCAs: roots}), kgo.SASL(login.AsSha256Mechanism())}
}

func createTopic(ctx context.Context, t *testing.T, client *kgo.Client, name string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 3, 1
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
}
