#include "routing/deployment.hpp"

#include <algorithm>
#include <utility>

namespace scoregate::routing {

namespace {

constexpr std::chrono::seconds window{5};     // least time over which a pace is measured
constexpr std::chrono::seconds forgotten{10}; // nobody asked for so long: what is known of the pace is not used
constexpr std::chrono::seconds least_wait{1}, longest_wait{60};

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

bool slot::leaving() const { return owner_->is_leaving(*replica_); }

void deployment::pace::note(time_point now, std::uint64_t given_back) {
    if (!asked_ || now - *asked_ > forgotten) {
        oldest_ = newest_ = {now, given_back};
    } else if (now - newest_.at >= window && given_back != newest_.given_back) {
        oldest_ = newest_;
        newest_ = {now, given_back};
    }
    asked_ = std::max(asked_, std::optional(now)); // cores read the clock before they come here: it may step back
}

// Nothing in the window counts as one now: a pace that the replicas have not reached. A pause since the newest sample
// overrules what went before: replicas that were fast and now hang are slow.
std::chrono::nanoseconds deployment::pace::interval(std::uint64_t given_back) const {
    const auto count = static_cast<std::int64_t>(given_back - oldest_.given_back);
    const auto mean = (*asked_ - oldest_.at) / std::max<std::int64_t>(count, 1);
    return given_back == newest_.given_back ? std::max(mean, *asked_ - newest_.at) : mean;
}

void deployment::update(std::vector<replica_settings> wanted, const admission& allowed) {
    queue served;
    {
        const std::lock_guard lock(mutex_);
        replica_list updated;
        for (auto& each : replicas_) each->server->current = nullptr;
        for (auto& each : wanted) {
            auto same = extract(replicas_, each);
            if (!same) same = extract(removed_, each);
            if (!same) {
                auto server = server_of(replicas_, each.url);
                if (!server) server = server_of(removed_, each.url);
                if (!server) server = std::make_shared<model_server>();
                same = std::make_unique<replica>(replica{next_replica_id(), std::move(each.url),
                                                         std::move(each.addresses), std::move(each.host), each.tls,
                                                         std::move(each.trust), std::move(server)});
            }
            same->server->current = same.get();
            updated.push_back(std::move(same));
        }
        for (auto& old : replicas_)
            if (old->slots != 0) removed_.push_back(std::move(old));
        replicas_ = std::move(updated);
        if (next_ >= replicas_.size()) next_ = 0;

        allowed_ = allowed;
        reachable_ = open_ = 0;
        for (const auto& each : replicas_) {
            if (!each->addresses.empty()) ++reachable_;
            if (has_room(*each)) ++open_;
        }
        queue_limit_ = allowed_.queue_length.value_or(reachable_ * allowed_.slots_per_replica.value_or(0));
        while (open_ != 0 && !waiting_.empty()) served.push_back(grant_to_first(least_busy()));
        note_fullness();
    }
    while (!served.empty()) { // out of the list first: once woken, a waiter may be gone
        auto& first = served.front();
        served.pop_front();
        first.wake_(first);
    }
}

// Null if it is not among them.
std::unique_ptr<replica> deployment::extract(replica_list& from, const replica_settings& same) {
    const auto found = std::find_if(from.begin(), from.end(), [&](const auto& each) {
        return each->url == same.url && each->addresses == same.addresses && each->trust == same.trust;
    });
    if (found == from.end()) return nullptr;
    auto extracted = std::move(*found);
    from.erase(found);
    return extracted;
}

// Null if none is of that URL.
std::shared_ptr<model_server> deployment::server_of(const replica_list& among, const std::string& url) {
    for (const auto& each : among)
        if (each && each->url == url) return each->server;
    return nullptr;
}

bool deployment::has_room(const replica& one) const {
    return one.server->current == &one && !one.addresses.empty() &&
           (!allowed_.slots_per_replica || one.server->in_flight < *allowed_.slots_per_replica);
}

// Of those with room, of which there must be one. Starting behind the last choice makes those that tie take turns.
replica& deployment::least_busy() {
    const auto count = replicas_.size();
    replica* least = nullptr;
    for (std::size_t seen = 0, at = next_; seen < count; ++seen) {
        auto& each = *replicas_[at];
        at = at + 1 == count ? 0 : at + 1;
        if (!has_room(each) || (least != nullptr && least->server->in_flight <= each.server->in_flight)) continue;
        least = &each;
        next_ = at;
        if (least->server->in_flight == 0) break;
    }
    return *least;
}

slot deployment::occupy(replica& where) {
    ++where.slots;
    ++where.server->in_flight;
    if (!has_room(where)) --open_;
    return {*this, where};
}

waiter& deployment::grant_to_first(replica& free) {
    auto& first = waiting_.front();
    waiting_.pop_front();
    first.granted_ = occupy(free);
    return first;
}

// After every change of who waits, who is busy, and the limits.
void deployment::note_fullness() {
    full_.store(reachable_ != 0 && open_ == 0 && waiting_.size() >= queue_limit_, std::memory_order_relaxed);
}

// Nobody waits while there is one, so that taking it passes nobody by.
base::result<slot> deployment::occupy_one(time_point now) {
    if (reachable_ == 0) {
        auto why = base::fail(base::fault::no_ready_replica);
        why.retry_after = static_cast<unsigned>(least_wait.count()); // its name may resolve at any moment
        return why;
    }
    if (open_ == 0) {
        auto why = base::fail(base::fault::queue_full);
        why.retry_after = seconds_to_wait(now);
        return why;
    }
    auto made = occupy(least_busy());
    note_fullness();
    return made;
}

std::variant<slot, queued, base::failure> deployment::reserve(waiter& who, time_point now) {
    const std::lock_guard lock(mutex_);
    auto made = occupy_one(now);
    if (made) return std::move(*made);
    if (reachable_ == 0 || waiting_.size() >= queue_limit_) return made.error();
    waiting_.push_back(who);
    note_fullness();
    return queued{};
}

base::result<slot> deployment::reserve_now(time_point now) {
    const std::lock_guard lock(mutex_);
    return occupy_one(now);
}

bool deployment::abandon(waiter& who) {
    const std::lock_guard lock(mutex_);
    if (who.granted_) return false;
    waiting_.erase(queue::s_iterator_to(who));
    note_fullness();
    return true;
}

// The freed place goes to who waits longest before anybody else can see it.
void deployment::release(replica& freed) {
    waiter* served = nullptr;
    {
        const std::lock_guard lock(mutex_);
        ++given_back_;
        auto* const current = freed.server->current; // another one than `freed` if its addresses have changed
        const bool had_room = current != nullptr && has_room(*current);
        --freed.server->in_flight;
        --freed.slots;
        if (current != &freed && freed.slots == 0)
            std::erase_if(removed_, [&](const auto& each) { return each.get() == &freed; });
        if (current == nullptr) return;
        if (!had_room && has_room(*current)) ++open_;
        if (open_ != 0 && !waiting_.empty()) served = &grant_to_first(*current);
        note_fullness();
    }
    if (served != nullptr) served->wake_(*served);
}

bool deployment::is_leaving(const replica& one) const {
    const std::lock_guard lock(mutex_);
    return one.server->current == nullptr;
}

unsigned deployment::seconds_to_wait(time_point now) {
    pace_.note(now, given_back_);
    const auto interval = std::min<std::chrono::nanoseconds>(pace_.interval(given_back_), longest_wait);
    const auto all = std::chrono::ceil<std::chrono::seconds>(interval * static_cast<std::int64_t>(waiting_.size() + 1));
    return static_cast<unsigned>(std::clamp(all, least_wait, longest_wait).count());
}

std::chrono::seconds deployment::retry_after(time_point now) {
    const std::lock_guard lock(mutex_);
    return std::chrono::seconds(seconds_to_wait(now));
}

deployment::state deployment::look() const {
    const std::lock_guard lock(mutex_);
    state all;
    for (const auto& each : replicas_)
        all.replicas.push_back({each->url, !each->addresses.empty(), each->server->in_flight});
    for (const auto& each : removed_)
        if (each->server->current == nullptr) all.leaving += each->slots;
    all.queued = waiting_.size();
    if (allowed_.slots_per_replica) all.slots = std::uint64_t{*allowed_.slots_per_replica} * reachable_;
    return all;
}

} // namespace scoregate::routing
