// Package schemas holds the JSON Schemas (draft 7) of the two raw topics, so that the binary can show them and tests can
// hold the decoder in package codecs against them. Nothing validates with them at run time.
package schemas

import _ "embed"

//go:embed user.schema.json
var user string

//go:embed event.schema.json
var event string

// User returns the schema of a record on the users topic.
func User() string { return user }

// Event returns the schema of a record on the events topic.
func Event() string { return event }
