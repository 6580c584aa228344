import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;

/**
 * What Potok does, by Kafka Streams: users and events joined and counted per user and type, and events counted per type.
 *
 * <p>Prints "complete" when both results, as a query sees them, hold all the events; waits for a line; writes both results to
 * a file, a JSON object a line; prints "dumped" and ends.
 *
 * <p>Arguments: brokers, application id, users topic, events topic, state directory, settings, number of events, file.
 */
public final class Main {
    private static final long POLL_MILLIS = 25;

    private final KafkaStreams streams;
    private final long events;
    private volatile Throwable failure;

    private Main(KafkaStreams streams, long events) {
        this.streams = streams;
        this.events = events;
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 8) {
            System.err.println("wants 8 arguments, got " + args.length);
            System.exit(2);
        }
        var properties = properties(args[0], args[1], args[4], Settings.valueOf(args[5]));
        var topology = Counting.topology(args[2], args[3]);
        var main = new Main(new KafkaStreams(topology.build(properties), properties), Long.parseLong(args[6]));
        try {
            main.run(Path.of(args[7]));
        } finally {
            main.streams.close(Duration.ofSeconds(30));
        }
    }

    /** The settings to choose from; of {@code cacheMiB} 0 all but the guarantee and the threads are Kafka Streams' own. */
    enum Settings {
        EOS(true, 100, 512), // the commit interval is exactly_once_v2's own default; the cache is more than all rows together
        ALO(false, 10_000, 512),
        EOS_DEFAULTS(true, 100, 0),
        ALO_SMALL(false, 1_000, 64);

        final boolean exactlyOnce;
        final long commitMillis;
        final long cacheMiB;

        Settings(boolean exactlyOnce, long commitMillis, long cacheMiB) {
            this.exactlyOnce = exactlyOnce;
            this.commitMillis = commitMillis;
            this.cacheMiB = cacheMiB;
        }
    }

    private static Properties properties(String brokers, String id, String dir, Settings settings) {
        var p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
        p.put(StreamsConfig.STATE_DIR_CONFIG, dir);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, settings.exactlyOnce ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, settings.commitMillis);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        // What it writes is added up from the topics at the end: nothing may be deleted before. It also saves the deleting.
        p.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, Duration.ofHours(6).toMillis());
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        if (settings.cacheMiB == 0) {
            return p;
        }
        p.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, settings.cacheMiB << 20);
        p.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
        return p;
    }

    private void run(Path file) throws Exception {
        var running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING || now == KafkaStreams.State.ERROR) {
                running.countDown();
            }
        });
        streams.setUncaughtExceptionHandler(e -> {
            failure = e;
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        running.await();
        awaitResults();
        System.out.println("complete");
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).readLine();
        dump(file);
        System.out.println("dumped");
    }

    /** First the small result; the large one takes a scan, so it is asked for when the small one is complete. */
    private void awaitResults() throws Exception {
        for (int next = 0; next < 2; ) {
            if (failure != null) {
                throw new IllegalStateException("the topology failed", failure);
            }
            try {
                if ((next == 0 ? sumOfTypes() : sumOfUsers()) >= events) {
                    next++;
                    continue;
                }
            } catch (InvalidStateStoreException e) {
                // Partitions are being assigned: ask again.
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    private long sumOfTypes() {
        long sum = 0;
        try (var rows = this.<Long>table(Counting.TYPES).all()) {
            while (rows.hasNext()) {
                sum += rows.next().value;
            }
        }
        return sum;
    }

    private long sumOfUsers() {
        long sum = 0;
        try (var rows = this.<byte[]>table(Counting.ACTIVITY).all()) {
            while (rows.hasNext()) {
                sum += Counts.total(Joined.counts(rows.next().value));
            }
        }
        return sum;
    }

    private <V> ReadOnlyKeyValueStore<Bytes, V> table(String name) {
        return streams.store(StoreQueryParameters.fromNameAndType(name, QueryableStoreTypes.<Bytes, V>keyValueStore()));
    }

    private void dump(Path file) throws IOException {
        try (BufferedWriter out = Files.newBufferedWriter(file);
                JsonGenerator json = new JsonFactory().createGenerator(out).setRootValueSeparator(null)) {
            try (var rows = this.<byte[]>table(Counting.ACTIVITY).all()) {
                while (rows.hasNext()) {
                    KeyValue<Bytes, byte[]> row = rows.next();
                    var user = Joined.user(row.value);
                    json.writeStartObject();
                    json.writeStringField("id", text(row.key.get()));
                    json.writeStringField("name", user.name());
                    json.writeStringField("email", user.email());
                    json.writeObjectFieldStart("events");
                    for (var e : Counts.map(Joined.counts(row.value)).entrySet()) {
                        json.writeNumberField(e.getKey(), e.getValue());
                    }
                    json.writeEndObject();
                    json.writeEndObject();
                    json.writeRaw('\n');
                }
            }
            try (var rows = this.<Long>table(Counting.TYPES).all()) {
                while (rows.hasNext()) {
                    KeyValue<Bytes, Long> row = rows.next();
                    json.writeStartObject();
                    json.writeStringField("event", text(row.key.get()));
                    json.writeNumberField("count", row.value);
                    json.writeEndObject();
                    json.writeRaw('\n');
                }
            }
        }
    }

    private static String text(byte[] utf8) {
        return new String(utf8, StandardCharsets.UTF_8);
    }
}
