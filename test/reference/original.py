#!/usr/bin/env python3
"""The reference program 3 as its users know it: what Potok replaces.

It keeps every message it has read in two lists and, at each message, rebuilds two frames, merges them and prints both results.
Kept with its quirks: a user who is published twice has two rows, with all of the user's events in each.
With --idle-exit it prints once, at the end, for a try at more than a few hundred messages.
"""

import argparse
import json
import sys

import pandas as pd
from kafka import KafkaConsumer

from kafka_env import add_topic_arguments, client_config


def show(users, events):
    if not users or not events:
        return
    users_frame, events_frame = pd.DataFrame(users), pd.DataFrame(events)
    merged = events_frame.merge(users_frame, on="user_id")
    by_user = merged.groupby(["user_id", "name", "email"]).size().reset_index(name="event_count")
    by_type = events_frame.groupby("event").size().reset_index(name="count")
    print("События по пользователям:")
    print(by_user)
    print("Количество видов событий:")
    print(by_type, flush=True)


def main():
    parser = argparse.ArgumentParser(description="Joins and counts users and events in memory.", epilog="Connection: the KAFKA_* environment variables.")
    add_topic_arguments(parser)
    parser.add_argument("--group", default="yx", help="consumer group (default yx)")
    parser.add_argument("--idle-exit", type=float, metavar="S", help="print once and end when no message came for so long")
    parser.add_argument("--errors", default="errors.txt", metavar="FILE", help="where failed messages go, a line each (default errors.txt)")
    args = parser.parse_args()

    consumer = KafkaConsumer(
        args.users_topic,
        args.events_topic,
        group_id=args.group,
        auto_offset_reset="earliest",
        consumer_timeout_ms=args.idle_exit * 1000 if args.idle_exit else float("inf"),
        **client_config(),
    )
    users, events = [], []
    try:
        for message in consumer:
            try:
                value = json.loads(message.value.decode("utf-8"))
                (users if message.topic == args.users_topic else events).append(value)
                if not args.idle_exit:
                    show(users, events)
            except Exception as error:  # as there: whatever it is, note it and go on
                with open(args.errors, "a", encoding="utf-8") as file:
                    print(f"Error: {error}, Offset: {message.offset}, Value: {message.value}", file=file)
        show(users, events)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
