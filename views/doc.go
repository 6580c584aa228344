// Package views answers: it keeps the orders that listing needs, and serves the HTTP interface, the event stream and the
// page.
//
// What one may rely on:
//
//   - Rows come from memory, from the [Index] that says which there are and in what order. Those that are too large for it, and
//     rows with marks, come from [Lookup], at the moment of the answer: such a row may be newer than its place in the answer, and
//     is never older.
//   - A page of a listing costs the page, not the table; a search reads the rows that may match, by an index of the texts'
//     trigrams, or rows in order where nearly all do.
//   - A row that does not change while one follows cursors comes exactly once.
//   - A stream gives every row's latest state in the end; states in between may be left out. A slow client reads later, a
//     stalled one is dropped; neither costs the others anything.
//   - Potok-Lag is taken before the answer is read: what it says was not behind is in the answer.
//
// But for the [Meter], the package knows neither Kafka nor goka. Who feeds the index stores a row where Lookup finds it before
// [Index.ApplyActivity] is told of it, and counts a record as applied after that.
package views
