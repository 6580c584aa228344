package views

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// Blocks can be put together in any order, any number of times, and a decoder has the text of each as soon as it has its bytes.
func TestPackedInAnyOrder(t *testing.T) {
	var p packer
	rng := rand.New(rand.NewPCG(1, 2))
	var blocks, texts [][]byte
	for i := range 20 {
		text := []byte(strings.Repeat(fmt.Sprintf(`{"user_id":"%d","name":"Анна"},`, rng.Int64()), rng.IntN(3000)))
		packed, err := p.pack(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 1000 && len(packed) > len(text)/2 {
			t.Errorf("%d bytes are %d when compressed", len(text), len(packed))
		}
		own := strings.Repeat("x", rng.IntN(200_000)*(i%2))
		blocks, texts = append(blocks, packed, stored(own)), append(texts, text, []byte(own))
	}
	in, out := io.Pipe()
	go func() { _, _ = io.WriteString(out, gzipHeader) }()
	r, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		i := rng.IntN(len(blocks))
		go func() { _, _ = out.Write(blocks[i]) }() // and nothing after it
		got := make([]byte, len(texts[i]))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, texts[i]) {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "identity": false, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false, "GZIP": true,
		"deflate,\tgzip": true, "x-gzip": false, "gzip;q=x": false, "gzip;level=1": false, "*": false,
	} {
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// A stream is compressed for who asks for that, and only then.
func TestStreamEncoding(t *testing.T) {
	f := newTables()
	for i := range 2500 {
		f.put(fmt.Sprint(i), activity("Anna", 1, 0))
	}
	_, base := serve(t, f, nil)
	for accepted, want := range map[string]string{"gzip, br": "gzip", "identity": "", "gzip;q=0": ""} {
		t.Run(accepted, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/stream", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", accepted)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("Content-Encoding"); got != want || resp.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("%q %v", got, resp.Header)
			}
			body := io.Reader(resp.Body)
			if want != "" {
				if body, err = gzip.NewReader(resp.Body); err != nil {
					t.Fatal(err)
				}
			}
			lines := bufio.NewReader(body)
			for rows := 0; rows < 2500; {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("after %d rows: %v", rows, err)
				}
				rows += strings.Count(line, `"user_id"`)
			}
		})
	}
}
