// The parts of bench/load that decide: how long something took, whether a reply and whether an event is right.
#include "events.hpp"
#include "histogram.hpp"
#include "reply.hpp"
#include "windows.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

std::string read(load::reply& reply, std::string_view bytes, std::size_t slice) {
    std::string body;
    while (!bytes.empty()) {
        auto piece = bytes.substr(0, slice);
        bytes.remove_prefix(piece.size());
        while (!piece.empty() && !reply.whole() && !reply.broken()) body += reply.take(piece);
        if (reply.whole() || reply.broken()) return body;
    }
    return body;
}

const std::string ok = "HTTP/1.1 200 OK\r\n";

std::string event(std::uint64_t index, load::moment sent) {
    return "data: {\"i\":" + std::to_string(index) + ",\"t\":" + std::to_string(sent.time_since_epoch().count()) +
           "}\n\n";
}

} // namespace

TEST_CASE("percentiles of a histogram are within one percent") {
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> shape(11, 3); // from nanoseconds to minutes
    std::vector<std::int64_t> times(20'001);
    load::histogram histogram;
    for (auto& time : times) {
        time = std::int64_t(std::min(shape(random), 3e12));
        histogram.record(std::chrono::nanoseconds(time));
    }
    std::sort(times.begin(), times.end());
    REQUIRE(histogram.count() == times.size());
    CHECK(histogram.max().count() == times.back());
    for (const double share : {0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999}) {
        const auto exact = double(times[std::size_t(std::ceil(share * double(times.size()))) - 1]);
        CHECK(double(histogram.percentile(share).count()) == Approx(exact).epsilon(0.01));
    }
    CHECK(histogram.percentile(1).count() == Approx(double(times.back())).epsilon(0.01));
}

TEST_CASE("a histogram at its ends") {
    load::histogram histogram;
    CHECK(histogram.percentile(0.5) == 0ns);
    histogram.record(-5ns);
    CHECK(histogram.percentile(1) == 0ns);
    histogram.record(255ns);
    CHECK(histogram.percentile(1) == 255ns);
    histogram.record(1000h);
    CHECK(histogram.max() == 1h);
    CHECK(histogram.percentile(1) <= 1h);
    CHECK(histogram.percentile(1) > 59min);
    CHECK(histogram.percentile(0.34) == 255ns);
}

TEST_CASE("what is usual is the median of windows") {
    load::windows windows(100ms);
    CHECK(windows.percentile(0.5) == 0ns);
    CHECK(windows.count() == 0);
    for (int window = 0; window < 5; ++window)
        for (int i = 1; i <= 100; ++i) // the third has a stall; the seventh to tenth, nothing
            windows.record(window * 100ms + i * 500us, window == 2 ? 50ms : std::chrono::microseconds(i + window));
    windows.record(1000ms, 1us);
    CHECK(windows.count() == 6);
    CHECK(windows.percentile(0.99) == 100us); // 1, 99, 100, 102, 103, 50000: the lower one of the two in the middle
    CHECK(windows.percentile(0.5) == 51us);
}

TEST_CASE("replies are read in any slicing") {
    struct row {
        std::string bytes, body;
        bool closes = false;
    };
    const auto rows = {
        row{ok + "Content-Length: 5\r\n\r\nhello", "hello"},
        row{ok + "content-length: 0\r\n\r\n", ""},
        row{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 1\r\n\r\nx", "x"},
        row{ok + "Content-Length: 2\r\nConnection: close\r\n\r\nab", "ab", true},
        row{ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nT: t\r\n\r\n",
            "hello0123456789"},
    };
    for (const auto& [bytes, body, closes] : rows) {
        for (const std::size_t slice : {1UL, 2UL, 3UL, 7UL, 1000UL}) {
            load::reply reply;
            CHECK(read(reply, bytes, slice) == body);
            CHECK(reply.whole());
            CHECK(reply.status() == 200);
            CHECK(reply.body_bytes() == body.size());
            CHECK(reply.closes() == closes);
        }
    }
}

TEST_CASE("a reply without a length ends with its connection") {
    load::reply reply;
    CHECK(read(reply, ok + "Content-Type: text/event-stream; charset=utf-8\r\n\r\nabc", 4) == "abc");
    CHECK(reply.is_event_stream());
    CHECK_FALSE(reply.whole());
    reply.end();
    CHECK(reply.whole());
    CHECK(reply.closes());
}

TEST_CASE("what is no reply is broken") {
    for (const auto& bytes : {
             "HTTP/1.0 200 OK\r\n\r\n"s,
             "HTTP/1.1 abc\r\n\r\n"s,
             "HTTP/1.1 200 OK\nContent-Length: 0\n\n"s,
             ok + "no colon\r\n\r\n",
             ok + "Content-Length: 5x\r\n\r\n",
             ok + "Transfer-Encoding: gzip\r\n\r\n",
             ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
             ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
             ok + "X: " + std::string(20'000, 'x'),
         }) {
        load::reply reply;
        read(reply, bytes, 1);
        CHECK(reply.broken());
    }
    for (const auto& bytes : {""s, "HTTP/1.1 200"s, ok + "Content-Length: 5\r\n\r\nhell",
                              ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}) {
        load::reply cut;
        read(cut, bytes, 100);
        CHECK_FALSE(cut.broken());
        cut.end();
        CHECK(cut.broken());
    }
}

TEST_CASE("events as they must be are right, whole or in pieces") {
    const load::moment start{100s};
    for (const std::size_t slice : {1UL, 5UL, 1000UL}) {
        load::events events(3, 100ms);
        for (std::uint64_t i = 0; i < 3; ++i) {
            const auto sent = start + i * 100ms;
            const auto bytes = event(i, sent);
            std::size_t came = 0;
            for (std::size_t at = 0; at < bytes.size(); at += slice) {
                for (const auto& one : events.take(std::string_view(bytes).substr(at, slice), sent + 3ms)) {
                    ++came;
                    CHECK(one.sent == sent);
                    CHECK(one.delay == 3ms);
                }
            }
            CHECK(came == 1);
        }
        events.end();
        CHECK(events.wrong() == 0);
    }
}

TEST_CASE("an event that is not as it must be is wrong") {
    const load::moment start{100s};
    const auto at = [start](int interval) { return start + interval * 100ms; };
    struct row {
        const char* what;
        std::vector<std::string> pieces; // piece i comes at interval i
        std::uint64_t wrong;
    };
    for (const auto& [what, pieces, wrong] : {
             row{"one is lost", {event(0, at(0)), event(2, at(1))}, 1},
             row{"two are lost", {event(2, at(0))}, 2},
             row{"the last one is lost", {event(0, at(0)), event(1, at(1))}, 1},
             row{"all are lost", {}, 3},
             row{"one comes again", {event(0, at(0)), event(0, at(0)), event(1, at(1)), event(2, at(2))}, 1},
             row{"one comes in vain", {event(0, at(0)), event(1, at(1)), event(2, at(2)), event(3, at(3))}, 1},
             row{"two have changed places", {event(1, at(0)), event(0, at(0)), event(2, at(1))}, 2},
             row{"torn", {event(0, at(0)), "data: {\"i\":1,\"t\":\n\n", event(2, at(2))}, 1},
             row{"the end of one is missing", {event(0, at(0)), event(1, at(1)), "data: {\"i\":2"}, 2},
             row{"stamped later than it came", {event(0, at(5)), event(1, at(5)), event(2, at(5))}, 3},
             row{"the clock goes back", {event(0, at(0)), event(1, at(0) - 1ms), event(2, at(2))}, 1},
             row{"held back for the next", {event(0, at(0)), "", event(1, at(1)) + event(2, at(2))}, 1},
             row{"two together, but neither is late", {event(0, at(0)), event(1, at(1) - 40ms) + event(2, at(1))}, 0},
         }) {
        INFO(what);
        load::events events(3, 100ms);
        int interval = 0;
        for (const auto& piece : pieces) events.take(piece, at(interval++));
        events.end();
        CHECK(events.wrong() == wrong);
    }
}

TEST_CASE("events of one read have come together, whatever the pieces") {
    const load::moment start{100s};
    for (const auto second_read : {start + 100ms, start + 101ms}) {
        load::events events(2, 100ms);
        events.take(event(0, start), start + 100ms);
        events.take(event(1, start + 100ms), second_read);
        CHECK(events.wrong() == (second_read == start + 100ms ? 1 : 0));
    }
}

TEST_CASE("what the reader overslept is not the sender's fault") {
    const load::moment start{100s};
    for (const auto overslept : {110ms, 90ms}) {
        load::events events(2, 100ms);
        events.take(event(0, start) + event(1, start + 100ms), start + 150ms, overslept);
        CHECK(events.wrong() == (overslept > 100ms ? 0 : 1));
    }
}
