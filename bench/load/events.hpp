// Holds one event stream against what the model stub sends: `data: {"i":I,"t":NS}` and an empty line, I from 0 without
// a gap, NS the stub's clock as it sent it. No I/O. Wrong is an event that is lost, out of order, torn (anything else
// where an event should be), stamped later than it came or earlier than the one before, or merged late: it came in one
// read with its successor, more than half an interval after it was sent.
#pragma once

#include "clock.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace load {

class events {
public:
    struct arrival {
        moment sent;
        clock::duration delay;
    };

    // `count` events, each `interval` after the one before.
    events(std::uint64_t count, clock::duration interval) : count_(count), interval_(interval) {}

    // A piece of the stream that was read at `now` (all pieces of one read have the same), and could have been read
    // `overslept` earlier. What it completed, in order; valid until the next call.
    const std::vector<arrival>& take(std::string_view piece, moment now, clock::duration overslept = {});

    // The reply is over: what never came is wrong.
    void end();

    std::uint64_t wrong() const { return wrong_; } // since the beginning of this stream

private:
    void read(std::string_view event, moment now, clock::duration overslept);

    std::uint64_t count_;
    clock::duration interval_;
    std::uint64_t next_ = 0; // the I that comes next
    moment last_sent_{}, last_came_{};
    std::string held_; // an event, as far as it has come
    std::vector<arrival> arrivals_;
    std::uint64_t wrong_ = 0;
};

} // namespace load
