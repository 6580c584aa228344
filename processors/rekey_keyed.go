package processors

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

// keyedEvents gathers, for each user, which event types occurred at which raw offsets.
type keyedEvents struct {
	decoder codecs.Decoder
	users   occurrences
	value   []byte
}

func (k *keyedEvents) add(r *kgo.Record) (held int, err error) {
	e, err := k.decoder.Event(r.Value)
	if err != nil {
		return 0, err
	}
	k.users.add(e.UserID, e.Event, r.Partition, r.Offset, 1, r.Timestamp.UnixMilli())
	return 0, nil
}

func (k *keyedEvents) names(r *kgo.Record) (user, event string, isCounted bool) {
	e, err := k.decoder.Event(r.Value)
	return string(e.UserID), string(e.Event), err == nil
}

func (k *keyedEvents) full() bool { return k.users.full() }

func (k *keyedEvents) each(topic codecs.TopicID, emit func(key, value []byte)) {
	k.users.batches(topic, func(user []byte, b *codecs.Batch) {
		k.value = codecs.AppendBatch(k.value[:0], b)
		emit(user, k.value)
	})
}

// counts counts the same occurrences by event type.
func (k *keyedEvents) counts(topic codecs.TopicID, emit func(key, value []byte)) {
	k.users.labelBatches(topic, func(event []byte, b *codecs.Batch) {
		k.value = codecs.AppendBatch(k.value[:0], b)
		emit(event, k.value)
	})
}

func (k *keyedEvents) reset() { k.users.reset() }

// maxUsers closes a batch of users, of which more is kept than of a key.
const maxUsers = 500_000

// keyedUsers keeps the newest publication of each user.
type keyedUsers struct {
	decoder codecs.Decoder
	newest  map[string]*codecs.User

	key, value []byte // scratch
}

func (k *keyedUsers) add(r *kgo.Record) (held int, err error) {
	u, err := k.decoder.User(r.Value)
	if err != nil {
		return 0, err
	}
	if k.newest == nil {
		k.newest = map[string]*codecs.User{}
	}
	user := &codecs.User{
		Name: string(u.Name), Email: string(u.Email),
		Version: codecs.Version{Timestamp: r.Timestamp.UnixMilli(), Partition: r.Partition, Offset: r.Offset},
	}
	k.newest[string(u.UserID)] = codecs.NewerUser(k.newest[string(u.UserID)], user)
	return len(u.UserID) + len(u.Name) + len(u.Email), nil
}

func (k *keyedUsers) names(r *kgo.Record) (user, none string, isCounted bool) {
	u, _ := k.decoder.User(r.Value) // it was valid before
	return string(u.UserID), "", false
}

func (k *keyedUsers) full() bool { return len(k.newest) >= maxUsers }

func (k *keyedUsers) each(_ codecs.TopicID, emit func(key, value []byte)) {
	for _, id := range slices.Sorted(maps.Keys(k.newest)) { // see occurrences.each
		k.key, k.value = append(k.key[:0], id...), codecs.AppendUser(k.value[:0], k.newest[id])
		emit(k.key, k.value)
	}
}

func (k *keyedUsers) counts(codecs.TopicID, func(key, value []byte)) {}

func (k *keyedUsers) reset() { clear(k.newest) }
