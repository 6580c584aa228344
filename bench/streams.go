package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// streamsSource is the Kafka Streams program, and the pom that says which jars it needs.
//
//go:embed kafka-streams
var streamsSource embed.FS

// buildStreams compiles the program unless that has been done, and returns its class path. The directory's name has a
// checksum of the source; it comes into being by a rename, so it is whole or not there.
func (b *bench) buildStreams(ctx context.Context) (classPath string, err error) {
	sum := crc32.NewIEEE()
	var sources []string
	entries, err := fs.ReadDir(streamsSource, "kafka-streams")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		text, err := streamsSource.ReadFile("kafka-streams/" + e.Name())
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", e.Name(), len(text), text)
		sources = append(sources, e.Name())
	}
	dir := filepath.Join(b.dir, fmt.Sprintf("kafka-streams-%08x", sum.Sum32()))
	classPath = filepath.Join(dir, "classes") + string(os.PathListSeparator) + filepath.Join(dir, "libs", "*")
	if _, err := os.Stat(dir); err == nil {
		return classPath, nil
	}
	b.logf("fetching Kafka Streams and compiling the program")
	tmp, err := os.MkdirTemp(b.dir, "compile-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, streamsSource); err != nil {
		return "", err
	}
	src := filepath.Join(tmp, "kafka-streams")
	commands := [][]string{
		{"mvn", "-B", "-q", "-f", "pom.xml", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=" + filepath.Join(tmp, "libs")},
		{"javac", "-nowarn", "-d", filepath.Join(tmp, "classes"), "-cp", filepath.Join(tmp, "libs", "*")},
	}
	for _, name := range sources {
		if strings.HasSuffix(name, ".java") {
			commands[1] = append(commands[1], name)
		}
	}
	for _, c := range commands {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Dir = src
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w (Kafka Streams needs Maven, once, and a JDK 17 or later)\n%s", c[0], err, out)
		}
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return classPath, nil
}

// measureStreams lets Kafka Streams do all of it once. settings is one of Main.java's Settings.
func measureStreams(ctx context.Context, b *bench, d *data, name, settings string) (m measurement, err error) {
	m.Program = name
	classPath, err := b.buildStreams(ctx)
	if err != nil {
		return m, err
	}
	dir, prefix, err := b.fresh(name)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, b.drop(context.WithoutCancel(ctx), prefix), b.discard(dir)) }()
	state, file := filepath.Join(dir, "state"), filepath.Join(dir, "result")
	args := append(strings.Fields(b.javaOpts), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classPath, "Main",
		strings.Join(b.broker.servers, ","), prefix, d.usersTopic, d.eventsTopic, state, settings, strconv.FormatUint(d.want.types.total(), 10), file)
	meter, err := b.meter()
	if err != nil {
		return m, err
	}
	t, err := b.talk(ctx, dir, "java", args...)
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
	if m.Topics, err = b.sizeOf(ctx, prefix); err != nil {
		return m, err
	}
	if _, err := io.WriteString(t.in, "\n"); err != nil {
		return m, err
	}
	if _, err := t.expect("dumped"); err != nil {
		return m, err
	}
	<-t.done // a stop flushes the rows
	if t.err != nil {
		return m, t.failed()
	}
	if m.Disk, err = treeSize(state); err != nil {
		return m, err
	}
	wrong := d.want.checkFile(file)
	m.Exact = wrong == nil
	return m, wrong
}

// checkFile compares results that are in a file, a JSON object a line.
func (x *expected) checkFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	c := x.check()
	dec := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
	for {
		var line struct {
			ID, Name, Email, Event string
			Events                 map[string]uint64
			Count                  uint64
		}
		err := dec.Decode(&line)
		if errors.Is(err, io.EOF) {
			return c.wrong(false) // its result has users with events only
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if line.Event != "" {
			c.kind(line.Event, line.Count)
			continue
		}
		r := row{id: line.ID, name: line.Name, email: line.Email, events: line.Events}
		for _, n := range line.Events {
			r.count += n
		}
		c.user(r)
	}
}
