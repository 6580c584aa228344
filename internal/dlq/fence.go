package dlq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/producer"
)

const (
	// transactionTimeout is for how long a transaction that was cut short keeps readers of the raw topic waiting, at most.
	transactionTimeout = 30 * time.Second
	beginTimeout       = 90 * time.Second // the one before may have to be aborted first
	endTimeout         = 20 * time.Second
)

// ErrFenced ends a command when another one of the same deployment began after it. What it had not committed is not there.
var ErrFenced = errors.New("another potok dlq command has begun meanwhile: run this one again when it is done")

// ErrUncertain ends a command that could not learn whether its last transaction was committed.
var ErrUncertain = errors.New("it is not known whether this was committed: run the command again, what was done is not done twice")

// transaction is one transaction, fenced off from all others of the deployment. A client makes one only: franz-go may take
// up a new epoch by itself after an error, which would fence off whoever came between, behind our back. So the identity at
// the end must be the one from the beginning, before the notes were read.
type transaction struct {
	client *kgo.Client
	id     int64
	epoch  int16
}

// begin fences off everybody else, has what they left behind aborted, and then reads the queue to its end.
func (q *Queue) begin(ctx context.Context) (_ *transaction, err error) {
	cl, err := q.cfg.Kafka.Client(append([]kgo.Opt{
		kgo.TransactionalID(q.cfg.Names.DeadLetters()),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.GzipCompression(), kgo.NoCompression()), // a record may have fitted because of it, and this every client can read
		kgo.ProducerBatchMaxBytes(producer.MaxRecordBytes),
		kgo.BrokerMaxWriteBytes(producer.MaxRecordBytes + 1<<20),
		kgo.MaxBufferedRecords(math.MaxInt32), // batches bounds them
	}, q.cfg.Extra...)...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			cl.Close()
		}
	}()
	timed, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	t := &transaction{client: cl}
	if t.id, t.epoch, err = cl.ProducerID(timed); err != nil {
		return nil, fmt.Errorf("begin transaction %s: %w", q.cfg.Names.DeadLetters(), fenced(err))
	}
	// Not to the last stable offset: what somebody else's open transaction hides could be a note.
	ends, err := kafka.Offsets(ctx, q.admin.ListEndOffsets, q.topic)
	if err != nil {
		return nil, err
	}
	if err := q.reader.until(ctx, ends, q.index.add); err != nil {
		return nil, err
	}
	if err := cl.BeginTransaction(); err != nil {
		return nil, fmt.Errorf("begin transaction %s: %w", q.cfg.Names.DeadLetters(), fenced(err))
	}
	return t, nil
}

// send sends records in waves of at most limit bytes, so that no batch is larger than its topic takes but for a record that
// is larger by itself.
func (t *transaction) send(ctx context.Context, records []*kgo.Record, limit int) error {
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
	defer cancel()
	for len(records) > 0 {
		n, bytes := 0, 0
		for n < len(records) {
			bytes += size(records[n], records[n].Headers) + recordRoom
			if n > 0 && bytes > limit {
				break
			}
			n++
		}
		if err := t.client.ProduceSync(ctx, records[:n]...).FirstErr(); err != nil {
			return fenced(err)
		}
		records = records[n:]
	}
	return nil
}

// commit ends the transaction. Interrupting the command does not interrupt it.
func (t *transaction) commit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	id, epoch, err := t.client.ProducerID(ctx)
	if err == nil && (id != t.id || epoch != t.epoch) {
		err = ErrFenced
	}
	if err != nil {
		return fenced(err)
	}
	err = fenced(t.client.EndTransaction(ctx, kgo.TryCommit))
	var refused *kerr.Error
	switch {
	case err == nil, errors.Is(err, ErrFenced):
		return err
	case errors.As(err, &refused) && !refused.Retriable && !errors.Is(err, kerr.UnknownServerError):
		return fmt.Errorf("commit: %w", err)
	default:
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
}

// end aborts the transaction unless it has been committed. Where the broker can't be told, it aborts it by itself.
func (t *transaction) end(ctx context.Context, committed bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if id, epoch, err := t.client.ProducerID(ctx); !committed && err == nil && id == t.id && epoch == t.epoch {
		if t.client.AbortBufferedRecords(ctx) == nil {
			_ = t.client.EndTransaction(ctx, kgo.TryAbort)
		}
	}
	t.client.Close()
}

// fenced turns what the brokers say to whoever was fenced off into [ErrFenced].
func fenced(err error) error {
	for _, sign := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping, kerr.OperationNotAttempted} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w (%w)", ErrFenced, err)
		}
	}
	return err
}
