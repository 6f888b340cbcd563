// One reload unit whose files are looked at again and again: when they are worth reading, when content that is no good
// has been waited for long enough to be a failure, and how its reloads went. Decides and logs, reads nothing; the clock
// is the caller's. Control thread.
#pragma once

#include "config/problem.hpp"
#include "tls/content_digest.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace scoregate::control {

// What /status and the metrics tell of a unit.
struct reload_history {
    std::uint64_t succeeded = 0, failed = 0;
    bool last_succeeded = true;
    std::chrono::system_clock::time_point last_at{}; // epoch: never
    config::problems last_problems;                  // empty after a success
};

class reload_unit {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using content = tls::content_digest;

    // How often content that has failed is tried again: what mends it may lie outside of it, such as the date, a mode
    // or another file.
    static constexpr std::chrono::seconds between_retries{10};

    // `patience`: how long files that are being replaced may be no good.
    reload_unit(std::string name, const content& in_force, std::chrono::milliseconds patience)
        : name_(std::move(name)), in_force_(in_force), patience_(patience) {}

    const std::string& name() const { return name_; }
    void rename(std::string name) { name_ = std::move(name); }
    const reload_history& past() const { return past_; }

    // Whether what was `seen` is not in force, nor has failed just now. Seeing what is in force ends a failure: there
    // is nothing left to mend.
    bool worth_reading(const content& seen, time_point now);
    // It is in force from now on: a reload that succeeded, unless it was in force already.
    void accept(const content& read);
    // It is no good. True if that is a failure: it is then logged, and counted once until the content is another or
    // somebody insists. False while it is waited for, which nobody does who insists.
    bool refuse(const content& read, config::problems why, bool insist, time_point now);
    // It is not as good as it may become. True while that is waited for.
    bool wait(time_point now);
    bool waiting() const { return no_good_since_.has_value(); }

private:
    struct failure {
        content read;
        time_point last_tried;
    };

    std::string name_;
    content in_force_;
    std::chrono::milliseconds patience_;
    std::optional<time_point> no_good_since_;
    std::optional<failure> failed_;
    reload_history past_;
};

} // namespace scoregate::control
