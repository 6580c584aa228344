package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/potok-streams/potok/views/client"
)

// view stands for a running potok view.
func view() *httptest.Server {
	users := `[{"user_id":"-42","name":"Анна Иванова","email":"anna@example.org","event_count":7,"events":{"click":3,"focus":4},"first_event_at":"2026-01-02T03:04:05Z","last_event_at":"2026-01-02T03:05:05Z"}]`
	types := `{"event_types":[{"event":"focus","count":4},{"event":"click","count":3}],"total":7}`
	mux := http.NewServeMux()
	json := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Potok-Lag", "0")
			w.Header().Set("Potok-Lag-Time", "2026-01-02T03:05:06.000Z")
			fmt.Fprint(w, body)
		})
	}
	json("/v1/users", `{"users":`+users+`}`)
	json("/v1/event-types", types)
	mux.HandleFunc("/v1/users/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"title":"Not Found","status":404,"detail":"neither a user nor an event with this user_id is known"}`)
	})
	mux.HandleFunc("/v1/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: event-types\nid: x-0\ndata: %s\n\nevent: users\nid: x-1\ndata: {\"users\":%s}\n\n", types, users)
	})
	return httptest.NewServer(mux)
}

func Example() {
	server := view()
	defer server.Close()

	c, err := client.New(server.URL) // such as http://127.0.0.1:8080
	if err != nil {
		log.Fatal(err)
	}
	types, err := c.EventTypes(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range types.Types {
		fmt.Println(t.Event, t.Count)
	}
	fmt.Println("records not in this answer:", types.Lag)
	// Output:
	// focus 4
	// click 3
	// records not in this answer: 0
}

func ExampleClient_AllUsers() {
	server := view()
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	for u, err := range c.AllUsers(context.Background(), client.UsersQuery{Sort: client.ByName, Query: "анна"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(*u.Name, u.EventCount)
	}
	// Output: Анна Иванова 7
}

func ExampleProblem() {
	server := view()
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.User(context.Background(), "nobody")
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
		fmt.Println(problem.Detail)
	}
	// Output: neither a user nor an event with this user_id is known
}

func ExampleClient_Stream() {
	server := view()
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	counts := map[string]uint64{}
	for update, err := range c.Stream(ctx, "") { // lost connections are made again
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range update.Users {
			counts[u.UserID] = u.EventCount
		}
		if len(counts) == 1 {
			break // or cancel the context, from wherever
		}
	}
	fmt.Println(counts)
	// Output: map[-42:7]
}
