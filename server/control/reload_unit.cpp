#include "control/reload_unit.hpp"

#include "telemetry/log.hpp"

#include <utility>

namespace scoregate::control {

bool reload_unit::worth_reading(const content& seen, bool insist) {
    if (seen != in_force_) return insist || seen != failed_;
    if (!past_.last_succeeded) telemetry::log().info("reload: {}: the files hold what is in force again", name_);
    past_.last_succeeded = true;
    past_.last_problems.clear();
    no_good_since_.reset();
    failed_.reset();
    return false;
}

void reload_unit::accept(const content& read) {
    in_force_ = read;
    no_good_since_.reset();
    failed_.reset();
    past_.last_at = std::chrono::system_clock::now();
    past_.last_succeeded = true;
    past_.last_problems.clear();
    ++past_.succeeded;
}

bool reload_unit::refuse(const content& read, config::problems why, bool insist, time_point now) {
    if (!no_good_since_) no_good_since_ = now;
    if (!insist && now - *no_good_since_ < patience_) return false;
    no_good_since_.reset();
    failed_ = read;
    for (const auto& each : why) telemetry::log().error("reload: {}", to_string(each));
    telemetry::log().error("reload: {} refused, what was in force stays", name_);
    past_.last_at = std::chrono::system_clock::now();
    past_.last_succeeded = false;
    past_.last_problems = std::move(why);
    ++past_.failed;
    return true;
}

} // namespace scoregate::control
