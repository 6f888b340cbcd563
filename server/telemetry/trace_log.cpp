#include "telemetry/trace_log.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace scoregate::telemetry {

trace_log::trace_log(options wanted) : options_(wanted) {
    for (unsigned core = 0; core < options_.cores; ++core) channels_.emplace_back(*this);
}

trace_log::traces trace_log::take(std::size_t most) {
    const std::lock_guard lock(mutex_);
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(most, waiting_.size()));
    traces taken(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
    waiting_.erase(waiting_.begin(), end);
    taken_ += taken.size();
    return taken;
}

std::uint64_t trace_log::waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size() + taken_ - exported_.value() - lost_.value();
}

std::uint64_t trace_log::dropped() const {
    auto sum = lost_.value();
    for (const auto& each : channels_) sum += each.dropped_.value();
    return sum;
}

void trace_log::channel::write(std::unique_ptr<const trace> one) {
    if (mine_.size() >= log_.options_.most_of_core) return dropped_.add();
    mine_.push_back(std::move(one));
}

void trace_log::channel::flush() {
    if (mine_.empty()) return;
    std::size_t taken = 0;
    {
        const std::lock_guard lock(log_.mutex_);
        const auto room = log_.options_.most_waiting - log_.waiting_.size();
        taken = std::min(room, mine_.size());
        const auto end = mine_.begin() + static_cast<std::ptrdiff_t>(taken);
        std::move(mine_.begin(), end, std::back_inserter(log_.waiting_));
    }
    dropped_.add(mine_.size() - taken);
    mine_.clear(); // what is dropped goes outside the lock
}

} // namespace scoregate::telemetry
