import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;

/** Reads the raw records by Jackson's streaming parser: every byte is looked at, and nothing is built that is not used. */
final class Parser {
    private static final JsonFactory JSON = new JsonFactory();

    private Parser() {}

    /** The user's id, and name and e-mail. */
    static KeyValue<Bytes, byte[]> user(byte[] json) {
        String id = null, name = null, email = null;
        try (JsonParser p = JSON.createParser(json)) {
            for (String field = first(p); field != null; field = p.nextFieldName()) {
                switch (field) {
                    case "user_id" -> id = p.nextTextValue();
                    case "name" -> name = p.nextTextValue();
                    case "email" -> email = p.nextTextValue();
                    default -> skip(p);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return KeyValue.pair(Bytes.wrap(utf8(id)), new User(name, email).encode());
    }

    /** The user's id, and the event type. */
    static KeyValue<Bytes, byte[]> event(byte[] json) {
        String id = null, event = null;
        try (JsonParser p = JSON.createParser(json)) {
            for (String field = first(p); field != null; field = p.nextFieldName()) {
                switch (field) {
                    case "user_id" -> id = p.nextTextValue();
                    case "event" -> event = p.nextTextValue();
                    default -> skip(p);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return KeyValue.pair(Bytes.wrap(utf8(id)), utf8(event));
    }

    private static String first(JsonParser p) throws IOException {
        if (p.nextToken() != JsonToken.START_OBJECT) {
            throw new IOException("not an object");
        }
        return p.nextFieldName();
    }

    private static void skip(JsonParser p) throws IOException {
        p.nextToken();
        p.skipChildren();
    }

    private static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }
}
