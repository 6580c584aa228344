package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/potok-streams/potok/views/client"
)

// readToken reads the token in the file of --auth-token-file; without a file there is none. A view that asks for a token and a
// command that sends it both read it here, so that none can be asked for that can't be sent.
func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: read --auth-token-file: %w", errUse, err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("%w: --auth-token-file %s is empty", errUse, file)
	}
	if err := client.CheckToken(token); err != nil {
		return "", fmt.Errorf("%w: --auth-token-file %s: %w; make one with: openssl rand -hex 32", errUse, file, err)
	}
	return token, nil
}
