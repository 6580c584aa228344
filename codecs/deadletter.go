package codecs

import (
	"fmt"
	"strconv"
)

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte
}

// The headers of a dead letter: Kafka Streams' names (KIP-1034), and one of our own.
const (
	HeaderTopic     = "__streams.errors.topic"
	HeaderPartition = "__streams.errors.partition"
	HeaderOffset    = "__streams.errors.offset"
	HeaderException = "__streams.errors.exception"
	HeaderMessage   = "__streams.errors.message"
	HeaderStage     = "__streams.errors.stage"
	HeaderTopicID   = "potok.topic.id" // the raw topic's incarnation, in hexadecimal
)

// DeadLetter says why and where a raw record was rejected. Record and letter share key, value and time stamp; the letter
// has the record's headers and, after them, these.
type DeadLetter struct {
	Topic     string
	TopicID   TopicID
	Partition int32
	Offset    int64
	Reason    Reason
	Message   string
	Stage     string
}

// Headers returns the headers that are added to the record's own.
func (d DeadLetter) Headers() []Header {
	return []Header{
		{HeaderTopic, []byte(d.Topic)},
		{HeaderPartition, strconv.AppendInt(nil, int64(d.Partition), 10)},
		{HeaderOffset, strconv.AppendInt(nil, d.Offset, 10)},
		{HeaderException, []byte(d.Reason)},
		{HeaderMessage, []byte(d.Message)},
		{HeaderStage, []byte(d.Stage)},
		{HeaderTopicID, fmt.Appendf(nil, "%x", d.TopicID)},
	}
}
