#!/usr/bin/env python3
"""Publishes made-up users and their events as the reference programs 1 and 2 do, but a set number of them and then ends.

As there: json.dumps in UTF-8, no key, no headers, local time without a zone, names and free e-mail of Faker's ru_RU, the user's id
a hash of the e-mail (salted per run; by --seed if there is one), 1 to 10 events a user over 100 pages and 5 event types.
With the same seed the messages are the same but for their time stamps.

Exits 0 when every message is acknowledged; a message that is not is an error on standard error and exit code 1.
"""

import argparse
import datetime
import hashlib
import json
import random
import sys
import time

from faker import Faker
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from kafka_env import add_topic_arguments, client_config

EVENT_TYPES = ("click", "scroll", "submit", "download", "focus")


def now():
    return datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")


class Source:
    """Makes users and events; the only place with random choices."""

    def __init__(self, seed, pages):
        self.random = random.Random(seed)
        self.fake = Faker("ru_RU")
        self.fake.seed_instance(self.random.getrandbits(64))
        self.salt = self.random.getrandbits(128).to_bytes(16, "big")
        self.pages = [self.fake.url() + self.fake.uri_path() for _ in range(pages)]

    def user(self):
        return self._user(self.fake.free_email())

    def renamed(self, user):
        return self._user(user["email"])

    def _user(self, email):
        # A signed number of 64 bits, as Python's own hash(email) is; that one can't be seeded from inside a program.
        digest = hashlib.blake2b(email.encode(), key=self.salt, digest_size=8).digest()
        return {"user_id": str(int.from_bytes(digest, "big", signed=True)), "name": self.fake.name(), "email": email}

    def event(self, user, event_types):
        return {"user_id": user["user_id"], "page": self.random.choice(self.pages), "event": self.random.choice(event_types)}


def plan(args):
    """Returns the messages as (topic, fields) in the order in which they are to be published."""
    source = Source(args.seed, args.pages)
    users, events = [], []
    for _ in range(args.users):
        user = source.user()
        users.append(user)
        events += [source.event(user, args.event_types) for _ in range(source.random.randint(args.min, args.max))]
    # Fewer than all users, chosen at random, come a second time, with another name.
    again = [source.renamed(user) for user in source.random.sample(users, round(args.users * args.repeat))]
    messages = [(args.users_topic, m) for m in users + again]
    if args.order == "users-first":
        messages += [(args.events_topic, m) for m in events]
    else:
        messages = [(args.events_topic, m) for m in events] + messages
        if args.order == "mixed":
            source.random.shuffle(messages)
    return messages


def create_topics(topics, partitions):
    admin = KafkaAdminClient(**client_config())
    for topic in topics:
        try:
            admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=-1)])
        except TopicAlreadyExistsError:
            pass
    admin.close()


def publish(messages, rate):
    """Publishes the messages, at most `rate` a second, and returns how many were not acknowledged."""
    producer = KafkaProducer(acks="all", linger_ms=5, **client_config())
    failures = 0

    def failed(error):
        nonlocal failures
        failures += 1
        print(f"not acknowledged: {error!r}", file=sys.stderr)

    began = time.monotonic()
    for i, (topic, fields) in enumerate(messages):
        if rate:
            time.sleep(max(0.0, began + i / rate - time.monotonic()))
        try:
            value = json.dumps({"event_timestamp": now(), **fields}).encode("utf-8")
            producer.send(topic, value=value).add_errback(failed)
        except KafkaError as error:
            failed(error)
    producer.flush()
    producer.close()
    return failures


def fraction(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("is not between 0 and 1")
    return value


def main():
    parser = argparse.ArgumentParser(description="Publishes made-up users and events.", epilog="Connection: the KAFKA_* environment variables.")
    add_topic_arguments(parser)
    parser.add_argument("--users", type=int, default=100, metavar="N", help="how many users (default 100)")
    parser.add_argument("--repeat", type=fraction, default=0.0, metavar="F", help="this fraction of them is published twice, with a new name (default 0)")
    parser.add_argument("--min", type=int, default=1, metavar="N", help="fewest events a user (default 1)")
    parser.add_argument("--max", type=int, default=10, metavar="N", help="most events a user (default 10)")
    parser.add_argument("--pages", type=int, default=100, metavar="N", help="how many pages (default 100)")
    parser.add_argument("--event-types", type=lambda s: s.split(","), default=list(EVENT_TYPES), metavar="A,B,…")
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same data but for the time stamps")
    parser.add_argument("--order", choices=("users-first", "events-first", "mixed"), default="users-first")
    parser.add_argument("--rate", type=float, default=0, metavar="R", help="messages a second (default: as fast as possible)")
    parser.add_argument("--delay", type=float, metavar="S", help="the same as --rate 1/S")
    parser.add_argument("--partitions", type=int, metavar="N", help="create missing topics with N partitions first")
    args = parser.parse_args()
    if args.delay:
        args.rate = 1 / args.delay
    if not 0 <= args.min <= args.max:
        parser.error("--min and --max: want 0 <= min <= max")

    messages = plan(args)
    if args.partitions:
        create_topics((args.users_topic, args.events_topic), args.partitions)
    failures = publish(messages, args.rate)
    events = sum(topic == args.events_topic for topic, _ in messages)
    print(json.dumps({"users": len(messages) - events, "events": events, "failed": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
