"""What a valid message is: strict UTF-8 JSON that the JSON Schemas in schemas/ accept, within Potok's limits of size.

Written anew from the contract's words and without looking at how Potok does it, so that the two can disagree.
"""

import json
import re
import sys

USER_FIELDS = ("event_timestamp", "user_id", "email", "name")
EVENT_FIELDS = ("event_timestamp", "user_id", "page", "event")

MAX_DEPTH = 1000
MAX_ID_BYTES = 4 << 10
MAX_TEXT_BYTES = 256 << 10
LIMITS = {"user_id": MAX_ID_BYTES, "event": MAX_ID_BYTES, "name": MAX_TEXT_BYTES, "email": MAX_TEXT_BYTES}

# The json module recurses once a level, and Python's own limit would reject what is allowed.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20 * MAX_DEPTH))

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class Rejected(Exception):
    """A message is not valid; the text is the reason, under the names of the dead letters' headers."""


def parse(value, fields):
    """Returns the fields of a message as a tuple of strings, or raises Rejected."""
    if value is None:
        raise Rejected("not_json")
    try:
        text = value.decode("utf-8")  # not json.loads(value): it would guess at UTF-16 and UTF-32
        check_depth(text)
        # Numbers are checked for their form and not computed: huge ones are valid.
        message = json.loads(text, parse_constant=no_constant, parse_int=str.__len__, parse_float=str.__len__, object_pairs_hook=check_object)
        if isinstance(message, (str, list)):
            check_text(message)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Rejected("not_json") from error
    if not isinstance(message, dict):
        raise Rejected("wrong_type")
    for field in fields:
        if field not in message:
            raise Rejected("missing_field")
        if not isinstance(message[field], str):
            raise Rejected("wrong_type")
    # A user's limits are not an event's: page may be long, and an event's name is a field like any other.
    for field in fields:
        limit = LIMITS.get(field)
        if limit and len(message[field].encode("utf-8")) > limit:
            raise Rejected("too_large")
    return tuple(message[field] for field in fields)


def no_constant(name):
    raise ValueError(f"{name} is not JSON")  # Python would take NaN and Infinity


def check_object(pairs):
    # Before the pairs become a dict, and so also for values that a later one of the same name replaces.
    for key, value in pairs:
        check_text(key)
        check_text(value)
    return dict(pairs)  # of a field given twice the last counts


def check_text(value):
    """Raises ValueError (a UnicodeEncodeError) for a lone surrogate, which json.loads lets through."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        for item in value:
            check_text(item)
    # An object inside has been checked by its own hook.


def check_depth(text):
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        c = token.group()[0]
        if c in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError("nested too deep")
        elif c in "]}":
            depth -= 1
