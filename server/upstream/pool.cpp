#include "upstream/pool.hpp"

#include <algorithm>

namespace scoregate::upstream {

namespace {

constexpr std::chrono::seconds resting{1}; // idle for so long: buffers go back

} // namespace

void pool::stack::closed_by_replica(const connection& one, time_point now) {
    const auto idle = std::chrono::duration_cast<std::chrono::milliseconds>(now - one.idle_since);
    if (idle < shortest_habit) return;
    shown = std::min(shown, idle * 3 / 4);
    shown_at = now;
}

std::unique_ptr<connection> pool::take(std::uint64_t replica_id, time_point now) {
    const auto found = idle_.find(replica_id);
    if (found == idle_.end()) return nullptr;
    auto& of = found->second;
    while (!of.connections.empty()) {
        auto last = std::move(of.connections.back());
        of.connections.pop_back();
        if (now - last->idle_since >= of.limit()) continue;
        if (last->still_idle()) return last;
        of.closed_by_replica(*last, now);
    }
    return nullptr;
}

void pool::give(std::unique_ptr<connection> returned, time_point now, std::optional<std::chrono::seconds> announced) {
    if (retained_ && !retained_->contains(returned->replica_id())) return;
    auto& of = idle_[returned->replica_id()];
    if (announced) of.announced = std::chrono::milliseconds(*announced) * 3 / 4;
    if (of.connections.size() >= most_idle_per_replica || of.limit().count() == 0) return;
    if (returned->times_idle++ == 0) returned->first_idle = now;
    if (returned->times_idle >= most_requests || now - returned->first_idle >= longest_life) return;
    returned->idle_since = now;
    returned->read_as_usual();
    of.connections.push_back(std::move(returned));
}

void pool::retain(std::unordered_set<std::uint64_t> replica_ids) {
    retained_ = std::move(replica_ids);
    std::erase_if(idle_, [&](const auto& each) { return !retained_->contains(each.first); });
}

void pool::sweep(time_point now) {
    for (auto each = idle_.begin(); each != idle_.end();) {
        auto& of = each->second;
        if (now - of.shown_at >= habit_remembered) of.shown = longest_idle;
        std::erase_if(of.connections, [&](const auto& one) {
            const auto idle = now - one->idle_since;
            if (idle < resting) return false;
            one->rest();
            if (idle >= of.limit()) return true;
            if (one->still_idle()) return false;
            of.closed_by_replica(*one, now);
            return true;
        });
        const bool forgettable = of.connections.empty() && of.shown == longest_idle;
        each = forgettable ? idle_.erase(each) : std::next(each);
    }
}

} // namespace scoregate::upstream
