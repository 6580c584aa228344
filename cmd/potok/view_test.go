package main

import (
	"net"
	"testing"
)

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:8080": "localhost:8080", "[::]:8080": "localhost:8080", "127.0.0.1:8080": "127.0.0.1:8080", "[::1]:80": "[::1]:80", "192.0.2.7:1": "192.0.2.7:1",
	} {
		addr, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(addr); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
