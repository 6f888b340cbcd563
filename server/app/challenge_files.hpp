// Reads what the cores ask for of ACME challenges (RFC 8555 8.3), few at a time: a webroot that hangs must leave the
// background's threads to all other files. Control thread; owned by app::process.
#pragma once

#include "base/background.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

namespace scoregate::app {

struct asked_challenge {
    unsigned core = 0;
    std::uint64_t number = 0; // the core's
    std::string token;
};

class challenge_files {
public:
    static constexpr std::size_t at_once = 2; // read, or hanging

    // What the file of a token holds, empty if there is none. On a thread of the background; may hang.
    using read = std::function<std::string(const std::string& token)>;
    using answer = std::function<void(const asked_challenge&, std::optional<std::string>)>;
    // `most` may wait: the cores have given up whoever asked before those.
    challenge_files(base::executor where, base::background& files, base::gate& tasks, std::size_t most, read from,
                    answer to);

    // Is answered once, or never: who asks has a patience of its own.
    void find(asked_challenge);

private:
    struct reader {
        base::background::lane lane{};
        bool at_work = false;
    };
    base::task<> work_off(reader& by);

    base::executor where_;
    base::background& files_;
    base::gate& tasks_;
    std::size_t most_;
    read read_;
    answer answer_;
    std::array<reader, at_once> readers_;
    std::deque<asked_challenge> waiting_;
};

} // namespace scoregate::app
