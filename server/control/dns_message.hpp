// What an answer to a question for SRV records says (RFC 2782), out of the message's own bytes: what a server on the
// network sent. No I/O; any thread.
#pragma once

#include "control/name_answer.hpp"

#include <chrono>
#include <span>
#include <vector>

namespace scoregate::control {

struct srv_answer {
    int status = 0; // of c-ares; ARES_SUCCESS with at least one target
    std::vector<service_target> targets = {};
    std::chrono::seconds ttl{0}; // the least of all records of the answer; 0 if it cannot be read
};

// Of the targets those of the lowest number of priority, which is the first to be tried.
srv_answer read_srv_answer(std::span<const unsigned char> message);

} // namespace scoregate::control
