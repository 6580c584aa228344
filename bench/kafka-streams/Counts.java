import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** Counts by event type. Stored as, for each type: the length of its name in 4 bytes, the name, the count in 8. */
final class Counts {
    static final byte[] NONE = {};

    private Counts() {}

    /** The row with one more of a type. The old row is left as it is: it may be in a cache. */
    static byte[] add(byte[] row, byte[] type) {
        var b = ByteBuffer.wrap(row);
        while (b.hasRemaining()) {
            int length = b.getInt(), at = b.position(), count = at + length;
            if (Arrays.equals(row, at, count, type, 0, type.length)) {
                byte[] next = row.clone();
                ByteBuffer.wrap(next).putLong(count, b.getLong(count) + 1);
                return next;
            }
            b.position(count + 8);
        }
        return ByteBuffer.allocate(row.length + 4 + type.length + 8).put(row).putInt(type.length).put(type).putLong(1).array();
    }

    static long total(ByteBuffer b) {
        long sum = 0;
        while (b.hasRemaining()) {
            int length = b.getInt();
            b.position(b.position() + length);
            sum += b.getLong();
        }
        return sum;
    }

    static Map<String, Long> map(ByteBuffer b) {
        var counts = new HashMap<String, Long>();
        while (b.hasRemaining()) {
            byte[] name = new byte[b.getInt()];
            b.get(name);
            counts.put(new String(name, StandardCharsets.UTF_8), b.getLong());
        }
        return counts;
    }
}
