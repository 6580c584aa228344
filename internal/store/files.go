package store

import (
	"bufio"

	lstorage "github.com/syndtr/goleveldb/leveldb/storage"
)

// tableBuffer is how much of a table is written at once. LevelDB writes each block by itself, of some two KiB when it is compressed.
const tableBuffer = 64 << 10

// bufferedTables is LevelDB's files, with a buffer for each table that it writes. A table counts only once it is synced; the
// journal, which counts as soon as it is written, has none.
type bufferedTables struct{ lstorage.Storage }

// Create implements LevelDB's storage.Storage.
func (f bufferedTables) Create(fd lstorage.FileDesc) (lstorage.Writer, error) {
	w, err := f.Storage.Create(fd)
	if err != nil || fd.Type != lstorage.TypeTable {
		return w, err
	}
	return &tableFile{w, bufio.NewWriterSize(w, tableBuffer)}, nil
}

// tableFile is a table that is being written. LevelDB gives up one that it closes without having synced it.
type tableFile struct {
	lstorage.Writer
	buffer *bufio.Writer
}

func (t *tableFile) Write(p []byte) (int, error) { return t.buffer.Write(p) }

func (t *tableFile) Sync() error {
	if err := t.buffer.Flush(); err != nil {
		return err
	}
	return t.Writer.Sync()
}
