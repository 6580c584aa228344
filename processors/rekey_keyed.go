package processors

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/intern"
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
	ids     intern.Table
	newest  []publication // by the id's number
	texts   intern.Texts  // of all publications that were the newest

	order []uint64 // scratch of each
	value []byte   // scratch
}

// publication is a user as published.
type publication struct {
	version           codecs.Version
	text              uint64 // the name, and the email behind it
	nameLen, emailLen uint32
}

func (k *keyedUsers) add(r *kgo.Record) (held int, err error) {
	u, err := k.decoder.User(r.Value)
	if err != nil {
		return 0, err
	}
	version := codecs.Version{Timestamp: r.Timestamp.UnixMilli(), Partition: r.Partition, Offset: r.Offset}
	i, fresh := k.ids.Number(u.UserID)
	if fresh {
		k.newest = append(k.newest, publication{})
	}
	if fresh || version.Compare(k.newest[i].version) > 0 {
		text, room := k.texts.Room(len(u.Name) + len(u.Email))
		copy(room[copy(room, u.Name):], u.Email)
		k.newest[i] = publication{version, text, uint32(len(u.Name)), uint32(len(u.Email))}
	}
	return len(u.UserID) + len(u.Name) + len(u.Email), nil
}

func (k *keyedUsers) names(r *kgo.Record) (user, none string, isCounted bool) {
	u, _ := k.decoder.User(r.Value) // it was valid before
	return string(u.UserID), "", false
}

func (k *keyedUsers) full() bool { return k.ids.Len() >= maxUsers }

func (k *keyedUsers) each(_ codecs.TopicID, emit func(key, value []byte)) {
	k.order = sorted(&k.ids, k.order) // see occurrences.each
	for _, s := range k.order {
		p := &k.newest[numberOf(s)]
		text := k.texts.String(p.text, int(p.nameLen+p.emailLen))
		k.value = codecs.AppendUser(k.value[:0], &codecs.User{Name: text[:p.nameLen], Email: text[p.nameLen:], Version: p.version})
		emit(k.ids.Text(numberOf(s)), k.value)
	}
}

func (k *keyedUsers) counts(codecs.TopicID, func(key, value []byte)) {}

func (k *keyedUsers) reset() {
	k.texts.Reset()
	if k.newest = k.newest[:0]; k.ids.Reset() {
		k.newest, k.order = nil, nil
	}
}
