// Package terminal shows the results to people: tables of aligned columns, and both results live.
//
// Names and ids come from whoever can write to a topic. Nothing that this package prints of them makes a terminal do
// anything: control characters and those that turn the direction of writing are escaped.
package terminal
