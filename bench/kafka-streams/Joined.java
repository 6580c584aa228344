import java.nio.ByteBuffer;

/** A row of the join: the length of the user's part, that part, the counts. */
final class Joined {
    private Joined() {}

    static byte[] row(byte[] user, byte[] counts) {
        return ByteBuffer.allocate(4 + user.length + counts.length).putInt(user.length).put(user).put(counts).array();
    }

    static User user(byte[] row) {
        return User.decode(ByteBuffer.wrap(row, 4, ByteBuffer.wrap(row).getInt()).slice());
    }

    static ByteBuffer counts(byte[] row) {
        int at = 4 + ByteBuffer.wrap(row).getInt();
        return ByteBuffer.wrap(row, at, row.length - at).slice();
    }
}
