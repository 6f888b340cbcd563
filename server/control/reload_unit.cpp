#include "control/reload_unit.hpp"

#include "telemetry/log.hpp"

#include <utility>

namespace scoregate::control {

bool reload_unit::worth_reading(const content& seen, time_point now) {
    if (seen != in_force_) return !failed_ || seen != failed_->read || now - failed_->last_tried >= between_retries;
    if (!past_.last_succeeded) telemetry::log().info("reload: {}: the files hold what is in force again", name_);
    past_.last_succeeded = true;
    past_.last_problems.clear();
    no_good_since_.reset();
    failed_.reset();
    return false;
}

void reload_unit::accept(const content& read) {
    no_good_since_.reset();
    failed_.reset();
    past_.last_succeeded = true;
    past_.last_problems.clear();
    if (read == in_force_) return;
    in_force_ = read;
    past_.last_at = std::chrono::system_clock::now();
    ++past_.succeeded;
}

bool reload_unit::refuse(const content& read, config::problems why, bool insist, time_point now) {
    const bool told = failed_ && failed_->read == read;
    if (!insist && !told && wait(now)) return false;
    no_good_since_.reset();
    failed_ = failure{read, now};
    if (told && !insist) return false;
    for (const auto& each : why) telemetry::log().error("reload: {}", to_string(each));
    telemetry::log().error("reload: {} refused, what was in force stays", name_);
    past_.last_at = std::chrono::system_clock::now();
    past_.last_succeeded = false;
    past_.last_problems = std::move(why);
    ++past_.failed;
    return true;
}

bool reload_unit::wait(time_point now) {
    if (!no_good_since_) no_good_since_ = now;
    return now - *no_good_since_ < patience_;
}

} // namespace scoregate::control
