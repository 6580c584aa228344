// Package emitters makes up users and their events and publishes them, in the form in which the Python programs that
// Potok replaces do: JSON as json.dumps writes it, no key, no headers, times local and without a zone.
//
// The generators ([UserGenerator], [EventGenerator]) are pure: the same seed gives the same data in the same order, but
// for the time stamps, on every machine and in every run. They are not for parallel use. The runners ([EmitUsers],
// [EmitEvents]) put a pace and Kafka around them; each call has generators of its own, so calls may run in parallel.
//
// # Delivery guarantees
//
// EmitUsers publishes each user once, as far as the producer it is given is idempotent (franz-go's is by default), and
// reports a user that could not be published as an error. Nothing remembers where a run stopped: the next run with the
// same seed starts with the same users again.
//
// EmitEvents is at least once. It commits a user's offset only after all events of that user are acknowledged, so no
// user is left without events; after a crash, or when a commit is lost to a rebalance, the last few users get theirs a
// second time, equal to the first but for the time stamps. A clean stop (context, idle exit) repeats none.
//
// Both runners expect their topics to exist. Both outlive their context by at most ten seconds, in which they wait for the
// acknowledgements of what is on its way, and EmitEvents by five more to leave its group. A slow callback (Print) slows
// the publishing down.
package emitters
