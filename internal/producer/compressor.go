package producer

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// compressor takes the codec that costs least time and memory, here and where the records are read. Only a record that may be
// too large for its topic without it, and then may have come from a topic that took it because it was well compressed, gets
// the one that makes it smallest.
type compressor struct{ quick, small kgo.Compressor }

func newCompressor() (c compressor, err error) {
	if c.quick, err = kgo.DefaultCompressor(kgo.SnappyCompression()); err == nil {
		c.small, err = kgo.DefaultCompressor(kgo.Lz4Compression())
	}
	if err != nil {
		return c, fmt.Errorf("make compressor: %w", err)
	}
	return c, nil
}

// Compress implements kgo.Compressor.
func (c compressor) Compress(dst *bytes.Buffer, src []byte, flags ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	if len(src) > maxBatchBytes {
		return c.small.Compress(dst, src, flags...)
	}
	return c.quick.Compress(dst, src, flags...)
}
