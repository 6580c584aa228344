// Package repository finds Potok's repository, for the programs in it that need its files.
package repository

import (
	"errors"
	"os"
	"path/filepath"
)

// Root returns the repository's directory: the working directory, or one above it.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "test", "kafka", "kafka.sh")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no test/kafka/kafka.sh in the working directory or above: run this in Potok's repository")
		}
		dir = parent
	}
}
