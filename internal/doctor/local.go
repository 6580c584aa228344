package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

const (
	littleDisk = 1 << 30   // bytes
	noDisk     = 128 << 20 // bytes: the write buffers of a few partitions
)

// changelog is what a table's topic is right now.
type changelog struct {
	id   [16]byte
	ends map[int32]int64
}

// local looks at --data-dir. tables is nil when the brokers could not be asked.
func (o Options) local(tables map[string]changelog) (findings []Finding) {
	add := func(level Level, what, advice string) {
		findings = append(findings, Finding{level, "local state", o.DataDir, what, advice})
	}
	info, err := os.Stat(o.DataDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		add(Info, "the directory does not exist yet", "the first start makes it")
		return findings
	case err != nil:
		add(Error, err.Error(), "see who owns the directory, or give another --data-dir")
		return findings
	case !info.IsDir():
		add(Error, "is not a directory", "give another --data-dir")
		return findings
	}
	if f, err := os.CreateTemp(o.DataDir, ".doctor-*"); err != nil {
		add(Error, "the directory can't be written: "+err.Error(), "see who owns it, or give another --data-dir")
	} else {
		f.Close()
		_ = os.Remove(f.Name()) // it is empty
		add(OK, "the directory can be written", "")
	}
	if free, known := freeBytes(o.DataDir); known {
		findings = append(findings, judgeDisk(o.DataDir, free))
	}
	if b, err := os.ReadFile(filepath.Join(o.DataDir, "instance-id")); err == nil {
		add(OK, "instance id "+strings.TrimSpace(string(b)), "")
	}
	for _, role := range []string{"process", "view"} {
		findings = append(findings, o.role(role, tables)...)
	}
	return findings
}

func judgeDisk(dir string, free uint64) Finding {
	f := Finding{OK, "local state", dir, fmt.Sprintf("%d MiB free", free>>20), ""}
	switch {
	case free < noDisk:
		f.Level, f.Advice = Error, "make room: an instance that can't write its state stops"
	case free < littleDisk:
		f.Level, f.Advice = Warning, "make room, or move --data-dir, before it is full"
	}
	return f
}

// role looks at the state of the processors or of the views.
func (o Options) role(role string, tables map[string]changelog) []Finding {
	finding := func(level Level, what, advice string) Finding {
		return Finding{level, "local state", filepath.Join(o.DataDir, role), what, advice}
	}
	name := filepath.Join(o.DataDir, role+".lock")
	if _, err := os.Stat(name); err != nil {
		return nil // nobody has been here in this role
	}
	lock := flock.New(name)
	ok, err := lock.TryLock()
	switch {
	case err != nil:
		return []Finding{finding(Error, "its lock can't be looked at: "+err.Error(), "see who owns the directory")}
	case !ok:
		return []Finding{finding(OK, "in use by a running potok", "")}
	}
	defer func() { _ = lock.Unlock() }()
	findings := []Finding{finding(Info, "nobody is using it", "")}
	states, err := filepath.Glob(filepath.Join(o.DataDir, role, "*", "*", "*"))
	if err != nil || tables == nil {
		return findings
	}
	for _, dir := range states {
		table := filepath.Base(filepath.Dir(dir))
		partition, err := strconv.ParseInt(filepath.Base(dir), 10, 32)
		c, ok := tables[table]
		if err != nil || !ok {
			continue // of another deployment
		}
		if why := judgeState(dir, int32(partition), c); why != "" {
			findings = append(findings, finding(Info, fmt.Sprintf("state of %s/%d: %s", table, partition, why), "the next start removes it and rebuilds it from the changelog"))
		}
	}
	return findings
}

// judgeState says why a store can't be used, if it can't. Its meta data are a topic id and an offset, see package store.
func judgeState(dir string, partition int32, c changelog) string {
	if _, err := os.Stat(filepath.Join(dir, "CORRUPT")); err == nil {
		return "it was found corrupt"
	}
	db, err := leveldb.OpenFile(dir, &opt.Options{ReadOnly: true, ErrorIfMissing: true})
	if err != nil {
		return "it can't be read: " + err.Error()
	}
	defer db.Close()
	meta, err := db.Get([]byte("m"), nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
		return "" // empty
	case err != nil:
		return "it can't be read: " + err.Error()
	case len(meta) != 24:
		return "its meta data are corrupt"
	case [16]byte(meta[:16]) != c.id:
		return "it belongs to an earlier incarnation of the topic"
	}
	if offset := int64(binary.BigEndian.Uint64(meta[16:])); offset >= c.ends[partition] {
		return fmt.Sprintf("it is ahead of its changelog: it holds offset %d, the changelog ends at %d", offset, c.ends[partition])
	}
	return ""
}
