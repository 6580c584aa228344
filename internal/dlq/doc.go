// Package dlq works with the dead letter queue: it says which raw records were rejected, puts them back on their raw topic,
// and forgets them.
//
// The queue is a topic without a time limit. It holds two kinds of records: letters, which the rekey stages write (see
// [codecs.DeadLetter]), and notes, which this package writes. A note says that the entry with its origin was replayed or
// purged. It has the origin as its key, no value, and these headers in this order: [HeaderNote], __streams.errors.topic,
// __streams.errors.partition, __streams.errors.offset and, where the letter has one, potok.topic.id. Who reads letters skips
// notes. A record that is neither is left alone.
//
// An entry is what was rejected at one origin. Letters of one origin are one entry: a stage that crashes writes its letters
// again.
//
// # Delivery guarantees
//
// An entry is replayed at most once. The record on the raw topic and the note of it are one transaction, so a crash leaves
// both or none to who reads committed records, as the rekey stages do. All commands of one deployment use one transactional
// id: who begins fences off all the others, and only then reads the notes to their end, so that it knows of every transaction
// that is committed and none can be added but its own. Whoever was fenced off fails with [ErrFenced] and has written nothing.
//
// A purged entry is not listed any more. Its letters are deleted when nothing else is before them in their partition, for
// Kafka deletes only from the start of one. A note is deleted only when the letters that it is about are gone and no stage
// will write them again.
package dlq
