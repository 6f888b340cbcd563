"""A collector of traces that takes OTLP over HTTP with JSON bodies, and checks every span that it is sent."""
import json
import re
import threading

from replica import PATIENCE, Replica

SERVER, CLIENT, INTERNAL = 2, 3, 1
KINDS = {"queue": INTERNAL, "connect": INTERNAL, "model": CLIENT}


class Span:
    def __init__(self, encoded):
        assert set(encoded) <= {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
                                "attributes", "events", "status"}, encoded
        self.trace, self.id, self.parent = encoded["traceId"], encoded["spanId"], encoded.get("parentSpanId")
        assert re.fullmatch("[0-9a-f]{32}", self.trace) and set(self.trace) != {"0"}
        for each in {self.id, self.parent or self.id}:
            assert re.fullmatch("[0-9a-f]{16}", each) and set(each) != {"0"}
        self.name, self.kind = encoded["name"], encoded["kind"]
        self.begin, self.end = (self._time(encoded[each]) for each in ("startTimeUnixNano", "endTimeUnixNano"))
        assert self.begin <= self.end
        self.attributes = {each["key"]: self._value(each["value"]) for each in encoded["attributes"]}
        assert len(self.attributes) == len(encoded["attributes"]), "a key that is there twice"
        self.events = {each["name"]: self._time(each["timeUnixNano"]) for each in encoded.get("events", [])}
        assert all(self.begin <= when <= self.end for when in self.events.values())
        self.status = encoded.get("status")
        assert self.status is None or self.status["code"] == 2
        self.stage = self.attributes.get("scoregate.stage", "request")

    @staticmethod
    def _time(text):
        assert isinstance(text, str), "64-bit integers are texts in JSON"
        return int(text)

    @staticmethod
    def _value(value):
        (kind, inner), = value.items()
        if kind == "intValue":
            assert isinstance(inner, str), "64-bit integers are texts in JSON"
            return int(inner)
        assert kind == "stringValue" and isinstance(inner, str)
        return inner

    milliseconds = property(lambda self: (self.end - self.begin) / 1e6)


class Trace:
    """One request's spans, held against each other."""

    def __init__(self, spans):
        self.request, *self.stages = sorted(spans, key=lambda span: (span.kind != SERVER, span.begin))
        assert self.request.kind == SERVER and self.request.stage == "request"
        assert len({span.id for span in spans}) == len(spans)
        for span in self.stages:
            assert (span.trace, span.parent) == (self.request.trace, self.request.id)
            assert span.kind == KINDS[span.stage]
            assert self.request.begin <= span.begin and span.end <= self.request.end, "outside its request"
        for span, following in zip(self.stages, self.stages[1:]):
            assert span.begin <= following.begin
        self.attributes = self.request.attributes

    def of(self, stage):
        return [span for span in self.stages if span.stage == stage]

    names = property(lambda self: [span.stage for span in self.stages])


class Collector:
    """replies: statuses to answer with at first; then 200. tls: as of Replica."""

    def __init__(self, *replies, tls=None):
        self._replies = list(replies)
        self._changed = threading.Condition()
        self._spans, self._wrong = [], []
        self.posts, self.resources = [], []  # heads; attributes
        self._replica = Replica(self._take, tls=tls)
        self.url = self._replica.url + "/v1/traces"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._replica.__exit__()
        assert not self._wrong, self._wrong

    def _take(self, request):
        body = request.body()
        with self._changed:
            status = self._replies.pop(0) if self._replies else 200
            self.posts.append((status, request.method, request.target, request.headers, body))
            if status == 200:
                try:
                    self._read(json.loads(body))
                except Exception as wrong:  # told where the test sees it
                    self._wrong.append(repr(wrong))
            self._changed.notify_all()
        request.reply(b"{}", f"{status} As It Is", "Content-Type: application/json\r\nRetry-After: 0\r\n")

    def _read(self, document):
        (whole,) = document["resourceSpans"]
        self.resources.append({each["key"]: Span._value(each["value"]) for each in whole["resource"]["attributes"]})
        (scope,) = whole["scopeSpans"]
        assert scope["scope"]["name"] == "scoregate"
        self._spans += [Span(each) for each in scope["spans"]]

    def _traces(self):
        """By the spans of requests; a trace may have several."""
        requests = [span for span in self._spans if span.kind == SERVER]
        return [Trace([one, *(span for span in self._spans if span.parent == one.id)]) for one in requests]

    def wait(self, count, timeout=PATIENCE):
        """The first `count` requests' traces."""
        with self._changed:
            self._changed.wait_for(lambda: self._wrong or len(self._traces()) >= count, timeout)
            assert not self._wrong, self._wrong
            found = self._traces()
            assert len(found) >= count, f"{len(found)} traces, not {count}"
            return found[:count]

    def traces(self):
        """All that have come so far."""
        with self._changed:
            assert not self._wrong, self._wrong
            return self._traces()

    def wait_posts(self, count, timeout=PATIENCE):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.posts) >= count, timeout), f"{len(self.posts)} posts"
            return list(self.posts)
