#include "upstream/pool.hpp"

#include <algorithm>

namespace scoregate::upstream {

namespace {

constexpr std::chrono::seconds resting{1}; // idle for so long: buffers go back

} // namespace

std::unique_ptr<connection> pool::take(std::uint64_t replica_id) {
    const auto found = idle_.find(replica_id);
    if (found == idle_.end()) return nullptr;
    auto& stack = found->second;
    while (!stack.empty()) {
        auto last = std::move(stack.back());
        stack.pop_back();
        if (last->still_idle()) return last;
    }
    return nullptr;
}

void pool::give(std::unique_ptr<connection> returned, std::chrono::steady_clock::time_point now) {
    auto& stack = idle_[returned->replica_id()];
    if (stack.size() >= most_idle_per_replica) return;
    returned->idle_since = now;
    returned->read_as_usual();
    stack.push_back(std::move(returned));
}

void pool::sweep(std::chrono::steady_clock::time_point now) {
    for (auto each = idle_.begin(); each != idle_.end();) {
        auto& stack = each->second; // oldest first
        for (auto& one : stack)
            if (now - one->idle_since >= resting) one->rest();
        const auto fresh = std::find_if(stack.begin(), stack.end(),
                                        [&](const auto& one) { return now - one->idle_since < longest_idle; });
        stack.erase(stack.begin(), fresh);
        each = stack.empty() ? idle_.erase(each) : std::next(each);
    }
}

} // namespace scoregate::upstream
