import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** A registered user. Stored as the name's length in bytes, the name, the e-mail. */
record User(String name, String email) {
    byte[] encode() {
        byte[] n = name.getBytes(StandardCharsets.UTF_8), e = email.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(4 + n.length + e.length).putInt(n.length).put(n).put(e).array();
    }

    static User decode(ByteBuffer b) {
        byte[] n = new byte[b.getInt()];
        b.get(n);
        byte[] e = new byte[b.remaining()];
        b.get(e);
        return new User(new String(n, StandardCharsets.UTF_8), new String(e, StandardCharsets.UTF_8));
    }
}
