#!/usr/bin/env python3
"""Compares what a Potok view answers with what aggregate.py computed.

Exits 0 if they are equal, 3 if they differ (the first differences are printed), 1 if the view could not be asked, 2 for wrong use. Needs nothing
but Python. A view that is behind differs: --wait asks again until its answer is equal and only then gives up.
"""

import argparse
import http.client
import json
import os
import sys
import time
import urllib.parse
import urllib.request

STATS = ("users_known", "users_with_events", "events_counted", "events_of_unknown_users", "messages_rejected")
USER = ("user_id", "name", "email", "event_count")


class View:
    """A Potok view's HTTP service."""

    def __init__(self, server, token, timeout=30):
        self.server, self.token, self.timeout = server.rstrip("/"), token, timeout
        # Never through a proxy: the view is near, and a bearer token is not a proxy's business.
        self.open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def get(self, path, **query):
        url = self.server + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, headers={"Accept": "application/json"})
        if self.token:
            request.add_header("Authorization", "Bearer " + self.token)
        with self.open(request, timeout=self.timeout) as response:
            return json.load(response)

    def users(self, page_size):
        """Yields the rows of result A, over all pages."""
        query = {"sort": "user_id", "limit": page_size}
        seen = set()
        while True:
            page = self.get("/v1/users", **query)
            yield from page["users"]
            cursor = page.get("next_cursor")
            if not cursor:
                return
            if cursor in seen:
                raise ValueError("the view gave the same next_cursor twice")
            seen.add(cursor)
            query["cursor"] = cursor


def compare_users(want, rows):
    """Yields a line for each difference between the rows wanted, by user id, and the view's."""
    previous, seen = None, set()
    for row in rows:
        user_id = row["user_id"]
        if previous is not None and user_id <= previous:
            yield f"user {user_id!r} comes after {previous!r}: the pages are not in order"
        previous = user_id
        if user_id in seen:
            yield f"user {user_id!r} is there twice"
            continue
        seen.add(user_id)
        if user_id not in want:
            yield f"user {user_id!r} is too many: {short(row)}"
            continue
        for field in USER:
            if row.get(field) != want[user_id][field]:
                yield f"user {user_id!r}: {field} is {row.get(field)!r}, want {want[user_id][field]!r}"
        # `events` may be cut off for users with very many types; the count never is.
        if not row.get("events_truncated") and "events" in row and sum(row["events"].values()) != row["event_count"]:
            yield f"user {user_id!r}: events add up to {sum(row['events'].values())}, event_count is {row['event_count']}"
    for user_id in want:
        if user_id not in seen:
            yield f"user {user_id!r} is missing: {short(want[user_id])}"


def compare_event_types(want, got):
    have = {}
    for row in got["event_types"]:
        if row["event"] in have:
            yield f"event {row['event']!r} is there twice"
        have[row["event"]] = row["count"]
    for event in sorted(want.keys() | have.keys()):
        if want.get(event) != have.get(event):
            yield f"event {event!r}: count is {have.get(event)}, want {want.get(event)}"
    if got["total"] != sum(want.values()):
        yield f"event types: total is {got['total']}, want {sum(want.values())}"
    counts = [row["count"] for row in got["event_types"]]
    if counts != sorted(counts, reverse=True):
        yield "event types are not sorted, largest first"


def compare_stats(want, got):
    for name in STATS:
        if got.get(name) != want[name]:
            yield f"stats: {name} is {got.get(name)}, want {want[name]}"


def short(row):
    return {field: row.get(field) for field in USER}


def differences(want, view, page_size, with_stats):
    yield from compare_users({row["user_id"]: row for row in want["users"]}, view.users(page_size))
    yield from compare_event_types({row["event"]: row["count"] for row in want["event_types"]}, view.get("/v1/event-types"))
    if with_stats:
        yield from compare_stats(want, view.get("/v1/stats"))


def main():
    parser = argparse.ArgumentParser(description="Compares a Potok view with aggregate.py's results.", epilog="POTOK_AUTH_TOKEN, if set, is sent as the bearer token.")
    parser.add_argument("results", nargs="?", default="-", metavar="FILE", help="what aggregate.py wrote (default: standard input)")
    parser.add_argument("--server", default="http://127.0.0.1:8080", metavar="URL", help="the view (default %(default)s)")
    parser.add_argument("--page-size", type=int, default=1000, metavar="N", help="limit of a page (default 1000)")
    parser.add_argument("--no-stats", action="store_true", help="leave out /v1/stats")
    parser.add_argument("--show", type=int, default=20, metavar="N", help="print at most so many differences (default 20)")
    parser.add_argument("--wait", type=float, default=0, metavar="S", help="ask again for so long while there are differences (default: once)")
    args = parser.parse_args()

    try:
        with sys.stdin if args.results == "-" else open(args.results, encoding="utf-8") as file:
            want = json.load(file)
    except (OSError, ValueError) as error:
        print(f"cannot read {args.results}: {error}", file=sys.stderr)
        return 1
    view = View(args.server, os.environ.get("POTOK_AUTH_TOKEN"))
    deadline = time.monotonic() + args.wait
    while True:
        error, found = None, []
        try:
            found = list(differences(want, view, args.page_size, not args.no_stats))
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as e:  # urllib's errors are OSErrors
            error = e
        if (not error and not found) or time.monotonic() >= deadline:
            break
        time.sleep(0.5)
    if error:
        print(f"cannot ask the view at {args.server}: {error!r}", file=sys.stderr)
        return 1
    for line in found[: args.show]:
        print(line)
    if len(found) > args.show:
        print(f"… and {len(found) - args.show} more")
    if found:
        return 3
    print(f"equal: {len(want['users'])} users, {len(want['event_types'])} event types, {want['events_counted']} events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
