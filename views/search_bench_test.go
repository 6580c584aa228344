package views

import "testing"

// benchReady makes the text index, which is otherwise made beside.
func benchReady(_ *testing.B, x *Index) { withTexts(x.flushed()) }

// BenchmarkMake is what the first who asks for an order waits for, and how long searches read rows in order until there is a
// text index: a million rows.
func BenchmarkMake(b *testing.B) {
	x := benchIndex(million)
	for _, by := range []Sort{ByEventCountDesc, ByName} {
		b.Run(string(by), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.complete = orders{}
				x.sort(treeOf(by), false)
			}
		})
	}
	b.Run("texts", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			withTexts(x)
		}
	})
}
