// Package codecs is the contract between Potok's stages: every record that crosses a topic, its Go type, its key, its
// bytes and the topic it lives on. It knows no Kafka client and does no I/O.
//
// Raw records (the users and events that others publish) are JSON and are judged by [Decoder]. Potok's own records are
// Protocol Buffers as potok.proto describes them, written and read by hand with protowire, because these few messages are
// most of what Potok does; a test holds the hand-written code against the schema.
package codecs
