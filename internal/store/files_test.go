package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	lstorage "github.com/syndtr/goleveldb/leveldb/storage"
)

// TestBufferedTables: what LevelDB relies on is in its files: all that was written to the journal, and of a table what was written
// before it was synced.
func TestBufferedTables(t *testing.T) {
	dir := t.TempDir()
	files, err := lstorage.OpenFile(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	block := bytes.Repeat([]byte("block"), 500)
	for _, tc := range []struct {
		file  lstorage.FileDesc
		name  string
		early int // how much of what is written is in the file before it is synced
	}{
		{lstorage.FileDesc{Type: lstorage.TypeTable, Num: 1}, "000001.ldb", 0},
		{lstorage.FileDesc{Type: lstorage.TypeJournal, Num: 2}, "000002.log", 1},
		{lstorage.FileDesc{Type: lstorage.TypeManifest, Num: 3}, "MANIFEST-000003", 1},
	} {
		has := func(when string, blocks int) {
			t.Helper()
			b, err := os.ReadFile(filepath.Join(dir, tc.name))
			if err != nil || !bytes.Equal(b, bytes.Repeat(block, blocks)) {
				t.Errorf("%s %s: %d bytes, want %d; %v", tc.name, when, len(b), blocks*len(block), err)
			}
		}
		w, err := bufferedTables{files}.Create(tc.file)
		if err != nil {
			t.Fatal(err)
		}
		write := func() {
			if n, err := w.Write(block); n != len(block) || err != nil {
				t.Fatalf("%d bytes, %v", n, err)
			}
		}
		write()
		write()
		has("written", 2*tc.early)
		must(t, w.Sync())
		has("synced", 2)
		write()
		must(t, w.Close())
		has("closed", 2+tc.early)
	}
}
