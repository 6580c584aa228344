import java.time.Duration;
import java.util.ArrayList;

import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The topology. Rows are byte arrays in their stored form and are changed as such, so that no step decodes and encodes them
 * but the one that needs to; keys are bytes from the parser on.
 */
final class Counting {
    static final String ACTIVITY = "activity";
    static final String TYPES = "event-types";

    private static final String SUMS = "sums";
    private static final Duration SUM_EVERY = Duration.ofMillis(100);
    private static final Serde<Bytes> KEY = Serdes.Bytes();
    private static final Serde<byte[]> VALUE = Serdes.ByteArray();

    private Counting() {}

    static StreamsBuilder topology(String usersTopic, String eventsTopic) {
        var builder = new StreamsBuilder();
        KTable<Bytes, byte[]> users = builder
            .stream(usersTopic, Consumed.with(KEY, VALUE))
            .map((none, json) -> Parser.user(json))
            .repartition(Repartitioned.with(KEY, VALUE).withName("users"))
            .toTable(Materialized.<Bytes, byte[], KeyValueStore<Bytes, byte[]>>as("users").withKeySerde(KEY).withValueSerde(VALUE));

        KStream<Bytes, byte[]> events = builder
            .stream(eventsTopic, Consumed.with(KEY, VALUE))
            .map((none, json) -> Parser.event(json));

        events
            .groupByKey(Grouped.with("events", KEY, VALUE))
            .aggregate(() -> Counts.NONE, (user, type, row) -> Counts.add(row, type),
                Materialized.<Bytes, byte[], KeyValueStore<Bytes, byte[]>>as("counts").withKeySerde(KEY).withValueSerde(VALUE))
            .join(users, (counts, user) -> Joined.row(user, counts),
                Materialized.<Bytes, byte[], KeyValueStore<Bytes, byte[]>>as(ACTIVITY).withKeySerde(KEY).withValueSerde(VALUE));

        // Few types and many events: each task sums up by itself and sends on sums, not a record an event.
        StoreBuilder<KeyValueStore<Bytes, Long>> sums = Stores
            .keyValueStoreBuilder(Stores.inMemoryKeyValueStore(SUMS), KEY, Serdes.Long())
            .withCachingEnabled();
        builder.addStateStore(sums);
        events
            .process(Summing::new, SUMS)
            .groupByKey(Grouped.with("sums", KEY, Serdes.Long()))
            .reduce(Long::sum, Materialized.<Bytes, Long, KeyValueStore<Bytes, byte[]>>as(TYPES).withKeySerde(KEY).withValueSerde(Serdes.Long()));
        return builder;
    }

    /** Counts events by type in a store of its own and forwards what came in since the last time. */
    private static final class Summing implements Processor<Bytes, byte[], Bytes, Long> {
        private ProcessorContext<Bytes, Long> context;
        private KeyValueStore<Bytes, Long> sums;

        @Override
        public void init(ProcessorContext<Bytes, Long> context) {
            this.context = context;
            sums = context.getStateStore(SUMS);
            context.schedule(SUM_EVERY, PunctuationType.WALL_CLOCK_TIME, this::forward);
        }

        @Override
        public void process(Record<Bytes, byte[]> event) {
            var type = Bytes.wrap(event.value());
            Long sum = sums.get(type);
            sums.put(type, sum == null ? 1L : sum + 1);
        }

        private void forward(long now) {
            var pending = new ArrayList<KeyValue<Bytes, Long>>();
            try (var rows = sums.all()) {
                rows.forEachRemaining(pending::add);
            }
            for (var row : pending) {
                context.forward(new Record<>(row.key, row.value, now));
                sums.delete(row.key);
            }
        }
    }
}
