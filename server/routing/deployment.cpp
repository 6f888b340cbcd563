#include "routing/deployment.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

namespace scoregate::routing {

namespace {

std::uint64_t next_replica_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

} // namespace

slot::slot(slot&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), replica_(std::exchange(other.replica_, nullptr)) {}

slot& slot::operator=(slot&& other) noexcept {
    if (this != &other) {
        release();
        owner_ = std::exchange(other.owner_, nullptr);
        replica_ = std::exchange(other.replica_, nullptr);
    }
    return *this;
}

void slot::release() {
    if (replica_ != nullptr) owner_->release(*std::exchange(replica_, nullptr));
}

void deployment::update(std::vector<replica_settings> wanted) {
    const std::lock_guard lock(mutex_);
    std::vector<std::unique_ptr<replica>> updated;
    for (auto& each : wanted) {
        const auto same = std::find_if(replicas_.begin(), replicas_.end(), [&](const auto& old) {
            return old && old->url == each.url && old->addresses == each.addresses;
        });
        if (same != replicas_.end())
            updated.push_back(std::move(*same));
        else
            updated.push_back(
                std::make_unique<replica>(replica{next_replica_id(), std::move(each.url), std::move(each.addresses)}));
    }
    for (auto& old : replicas_)
        if (old && old->in_flight != 0) removed_.push_back(std::move(old));
    replicas_ = std::move(updated);
    next_ = 0;
}

base::result<slot> deployment::reserve() {
    const std::lock_guard lock(mutex_);
    replica* least = nullptr;
    std::size_t behind = 0; // the one chosen: starting there next time makes those that tie take turns
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
        const auto at = (next_ + i) % replicas_.size();
        auto& each = *replicas_[at];
        if (each.addresses.empty() || (least != nullptr && least->in_flight <= each.in_flight)) continue;
        least = &each;
        behind = at + 1;
        if (least->in_flight == 0) break;
    }
    if (least == nullptr) return base::fail(base::fault::no_ready_replica);
    next_ = behind % replicas_.size();
    ++least->in_flight;
    return slot(*this, *least);
}

void deployment::release(replica& freed) {
    const std::lock_guard lock(mutex_);
    if (--freed.in_flight != 0 || removed_.empty()) return;
    std::erase_if(removed_, [&](const auto& each) { return each.get() == &freed; });
}

std::vector<deployment::replica_state> deployment::states() const {
    const std::lock_guard lock(mutex_);
    std::vector<replica_state> all;
    for (const auto& each : replicas_) all.push_back({each->url, !each->addresses.empty(), each->in_flight});
    return all;
}

} // namespace scoregate::routing
