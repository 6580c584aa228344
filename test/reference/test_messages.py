#!/usr/bin/env python3
"""Checks messages.py against the contract: python3 test_messages.py"""

import json
import unittest

from messages import EVENT_FIELDS, MAX_DEPTH, MAX_ID_BYTES, Rejected, parse


def event(**fields):
    return {"event_timestamp": "2024-01-02 03:04:05", "user_id": "-17", "page": "https://example.org/", "event": "click", **fields}


def with_field(raw):
    """Returns a valid event's bytes with one more, ignored field of the raw text given."""
    return json.dumps(event()).encode()[:-1] + b', "x": ' + raw + b"}"


class Messages(unittest.TestCase):
    def accepted(self, value):
        return parse(value, EVENT_FIELDS)

    def rejected(self, reason, value):
        with self.assertRaises(Rejected) as caught:
            parse(value, EVENT_FIELDS)
        self.assertEqual(str(caught.exception), reason)

    def test_accepted(self):
        for user_id in ("", "__offset", " ", "nan", "юзер", "😀", "\0", "é" * (MAX_ID_BYTES // 2)):
            for ascii_only in (True, False):
                value = json.dumps(event(user_id=user_id), ensure_ascii=ascii_only).encode()
                self.assertEqual(self.accepted(value)[1], user_id)
        for raw in (b"null", b"1e999", b"9" * 5000, rb'"\ud83d\ude00"', rb'"[[\"{"', b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)):
            self.accepted(with_field(raw))
        self.accepted(b" \r\n\t" + with_field(b"{}") + b"\n")

    def test_last_of_a_field_counts(self):
        text = json.dumps(event())[:-1]
        self.assertEqual(self.accepted((text + ', "user_id": "second"}').encode())[1], "second")
        self.rejected("wrong_type", (text + ', "user_id": 2}').encode())

    def test_rejected(self):
        good = json.dumps(event()).encode()
        self.rejected("not_json", None)
        for value in (b"", b"{", good + b"x", good + good, b"\xef\xbb\xbf" + good, good.decode().encode("utf-16"), b"{'a': 1}"):
            self.rejected("not_json", value)
        for raw in (b"NaN", b"-Infinity", b"01", b"1.", rb'"\ud83d"', rb'"\ude00\ud83d"', rb'[["\ud800"]]', rb'{"\ud800": 1}', b'"\xff"', b'"\xed\xa0\x80"', b'"\t"',
                    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, b"[" * 200_000):
            self.rejected("not_json", with_field(raw))
        # A value that a later one replaces is part of the message all the same.
        self.rejected("not_json", with_field(rb'"\ud800", "x": 1'))
        for value in (b"null", b"1", b'"text"', b"[]"):
            self.rejected("wrong_type", value)
        for field in EVENT_FIELDS:
            for wrong in (None, 1, 1.5, True, [], {}):
                self.rejected("wrong_type", json.dumps(event(**{field: wrong})).encode())
            less = event()
            less[field.upper()] = less.pop(field)
            self.rejected("missing_field", json.dumps(less).encode())
        for field in ("user_id", "event"):
            self.rejected("too_large", json.dumps(event(**{field: "é" * (MAX_ID_BYTES // 2) + "x"})).encode())


if __name__ == "__main__":
    unittest.main()
