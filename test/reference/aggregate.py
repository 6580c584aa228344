#!/usr/bin/env python3
"""Computes both results from the raw topics, independently of Potok, and writes them to standard output as JSON.

Reads committed records from the earliest offset to the end offsets found at its start, and needs no consumer group. The rules:
a user has one row, with the name and e-mail of its latest message (by Kafka time stamp, then partition, then offset); an event counts once;
`users` has the users that are known and have events, `event_types` counts all valid events; messages that are not valid are
left out and counted. The other numbers have the names that Potok's /v1/stats gives them.
"""

import argparse
import collections
import json
import sys
import time

import pandas as pd
from kafka import KafkaConsumer, TopicPartition

from kafka_env import add_topic_arguments, client_config
from messages import EVENT_FIELDS, USER_FIELDS, Rejected, parse


def read(topic, timeout):
    """Yields the topic's committed records up to the end that it had when the call came."""
    consumer = KafkaConsumer(auto_offset_reset="earliest", enable_auto_commit=False, isolation_level="read_committed", **client_config())
    try:
        partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        if not partitions:
            sys.exit(f"topic {topic} does not exist")
        ends = consumer.end_offsets(partitions)  # with read_committed: the last stable offsets
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        # The position, not the last record seen: the end may be a transaction's marker or a gap.
        waiting = set(partitions)
        progress = time.monotonic()
        while True:
            waiting = {tp for tp in waiting if consumer.position(tp) < ends[tp]}
            if not waiting:
                return
            for tp, records in consumer.poll(timeout_ms=500, max_records=10_000).items():
                progress = time.monotonic()
                yield from (r for r in records if r.offset < ends[tp])
            if time.monotonic() - progress > timeout:
                sys.exit(f"no progress for {timeout:g} s; missing: {sorted((tp.partition, consumer.position(tp), ends[tp]) for tp in waiting)}")
    finally:
        consumer.close()


def load(topic, fields, timeout):
    """Returns a frame of the topic's valid messages with their origin, and a count of the others by reason."""
    rows, rejected = [], collections.Counter()
    for record in read(topic, timeout):
        try:
            rows.append((*parse(record.value, fields), record.timestamp, record.partition, record.offset))
        except Rejected as reason:
            rejected[str(reason)] += 1
    # dtype object: pandas must not take an empty string or "nan" for a gap.
    return pd.DataFrame(rows, columns=[*fields, "_time", "_partition", "_offset"], dtype=object), rejected


def aggregate(users, events):
    """Returns both results as lists of rows."""
    latest = users.sort_values(["_time", "_partition", "_offset"]).drop_duplicates("user_id", keep="last")
    counts = events.groupby("user_id", sort=False, dropna=False).size().rename("event_count").reset_index()
    result = latest.merge(counts, on="user_id", how="inner", validate="one_to_one")
    rows = result[["user_id", "name", "email", "event_count"]].to_dict("records")
    types = events.groupby("event", sort=False, dropna=False).size()
    return (
        sorted(rows, key=lambda row: row["user_id"]),  # by code point
        [{"event": event, "count": int(count)} for event, count in sorted(types.items(), key=lambda item: (-item[1], item[0]))],
    )


def main():
    parser = argparse.ArgumentParser(description="Computes both results from the raw topics, as JSON.", epilog="Connection: the KAFKA_* environment variables.")
    add_topic_arguments(parser)
    parser.add_argument("--timeout", type=float, default=30, metavar="S", help="give up when nothing comes for so long (default 30)")
    args = parser.parse_args()

    # Events first: an event read here then has its user in the later end of the users' topic, if it was published after it.
    events, rejected_events = load(args.events_topic, EVENT_FIELDS, args.timeout)
    users, rejected_users = load(args.users_topic, USER_FIELDS, args.timeout)
    user_rows, event_types = aggregate(users, events)
    known = events["user_id"].isin(users["user_id"])
    json.dump(
        {
            "users": user_rows,
            "event_types": event_types,
            "users_known": int(users["user_id"].nunique()),
            "users_with_events": len(user_rows),
            "events_counted": len(events),
            "events_of_unknown_users": int((~known).sum()),
            "messages_rejected": rejected_users.total() + rejected_events.total(),
            "user_messages": len(users),
            "rejected": {args.users_topic: dict(rejected_users), args.events_topic: dict(rejected_events)},
        },
        sys.stdout,
        ensure_ascii=False,
        indent=1,
    )
    print()


if __name__ == "__main__":
    main()
