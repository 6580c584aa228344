package codecs

// Names gives every topic and consumer group its name. Several deployments share a cluster by different prefixes.
type Names struct {
	Prefix string // of Potok's own topics and groups
	Users  string // raw topic of users
	Events string // raw topic of events
}

// DefaultNames are the names of the contract.
func DefaultNames() Names {
	return Names{Prefix: "potok", Users: "CorpAppsTopic", Events: "test"}
}

// Consumer groups. A goka group's table is named after the group: see [TableOf].
func (n Names) RekeyUsersGroup() string  { return n.Prefix + "-rekey-users" }
func (n Names) RekeyEventsGroup() string { return n.Prefix + "-rekey-events" }
func (n Names) UsersGroup() string       { return n.Prefix + "-users" }
func (n Names) ActivityGroup() string    { return n.Prefix + "-activity" }
func (n Names) EventTypesGroup() string  { return n.Prefix + "-event-types" }

// Groups are all of them, rekey's first: without their commits all is read again.
func (n Names) Groups() []string {
	return []string{n.RekeyUsersGroup(), n.RekeyEventsGroup(), n.UsersGroup(), n.ActivityGroup(), n.EventTypesGroup()}
}

// Streams between the stages, keyed by what the next stage's table is keyed by.
func (n Names) UsersStream() string      { return n.Prefix + "-users-stream" }
func (n Names) ActivityStream() string   { return n.Prefix + "-activity-stream" }
func (n Names) EventTypesStream() string { return n.Prefix + "-event-types-stream" }

// Tables: compacted changelogs.
func (n Names) UsersTable() string      { return TableOf(n.UsersGroup()) }
func (n Names) ActivityTable() string   { return TableOf(n.ActivityGroup()) }
func (n Names) EventTypesTable() string { return TableOf(n.EventTypesGroup()) }

// DeadLetters is where rejected raw records go.
func (n Names) DeadLetters() string { return n.Prefix + "-dlq" }

// TableOf is goka's rule for the name of a group's table.
func TableOf(group string) string { return group + "-table" }
