#include "routing/deployment.hpp"

#include <algorithm>
#include <utility>

namespace scoregate::routing {

namespace {

constexpr std::chrono::seconds window{5};     // least time over which a pace is measured
constexpr std::chrono::seconds forgotten{10}; // nobody asked for so long: what is known of the pace is not used
constexpr std::chrono::seconds least_wait{1}, longest_wait{60};

std::uint64_t next_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

bool may_be_used(standing how) { return how == standing::ready || how == standing::half_open; }
bool is_out(standing how) { return how == standing::ejected || how == standing::half_open; }

std::chrono::seconds ejection_length(unsigned ejections) {
    auto length = first_ejection;
    for (unsigned i = 1; i < ejections && length < longest_ejection; ++i) length *= 2;
    return std::min(length, longest_ejection);
}

} // namespace

slot::slot(slot&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)),
      replica_(std::exchange(other.replica_, nullptr)),
      trial_(other.trial_) {}

slot& slot::operator=(slot&& other) noexcept {
    if (this != &other) {
        release();
        owner_ = std::exchange(other.owner_, nullptr);
        replica_ = std::exchange(other.replica_, nullptr);
        trial_ = other.trial_;
    }
    return *this;
}

void slot::report(outcome what) const { owner_->report(*replica_, what, trial_); }

void slot::release(outcome what) {
    if (replica_ != nullptr) owner_->release(*std::exchange(replica_, nullptr), what, trial_);
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
        const bool beside_others = settled_ && usable_ != 0;
        allowed_ = allowed;
        replica_list updated;
        for (auto& each : replicas_) each->server->current = nullptr;
        for (auto& each : wanted) {
            auto same = extract(replicas_, each);
            if (!same) same = extract(removed_, each);
            if (!same) {
                auto server = server_of(replicas_, each.url);
                if (!server) server = server_of(removed_, each.url);
                if (server) {
                    server->failures = 0;
                    if (is_out(server->standing)) become(*server, standing::ready);
                } else {
                    server = new_server();
                    if (beside_others) server->handicap = first_handicap;
                }
                same = std::make_unique<replica>(replica{next_id(), std::move(each.url), std::move(each.addresses),
                                                         std::move(each.host), each.tls, std::move(each.trust),
                                                         std::move(server), 0, std::move(each.unix_path)});
            }
            same->server->current = same.get();
            if (std::exchange(same->server->reachable, same->reachable()) != same->reachable())
                same->server->turned = std::chrono::system_clock::now();
            const bool by_probes =
                same->server->standing == standing::starting || same->server->standing == standing::unready;
            if (by_probes && !allowed.probed) become(*same->server, standing::ready);
            updated.push_back(std::move(same));
        }
        for (auto& old : replicas_)
            if (old->slots != 0) removed_.push_back(std::move(old));
        replicas_ = std::move(updated);
        if (next_ >= replicas_.size()) next_ = 0;
        count();
        serve_waiting(served);
    }
    wake(served);
}

std::shared_ptr<model_server> deployment::new_server() const {
    auto made = std::make_shared<model_server>();
    made->id = next_id();
    if (allowed_.probed && !allowed_.assumed_ready) made->standing = standing::starting;
    return made;
}

// After every change of the replicas, of their standing, or of the limits.
void deployment::count() {
    const auto usable = [](const auto& each) { return each->reachable() && may_be_used(each->server->standing); };
    if (std::none_of(replicas_.begin(), replicas_.end(), usable)) // nobody is ejected for want of others
        for (const auto& each : replicas_)
            if (each->server->standing == standing::ejected) become(*each->server, standing::half_open);
    reachable_ = usable_ = hopeful_ = open_ = 0;
    for (const auto& each : replicas_) {
        if (!each->reachable()) continue;
        ++reachable_;
        if (usable(each)) ++usable_;
        if (usable(each) || each->server->standing == standing::starting) ++hopeful_;
        if (has_room(*each)) ++open_;
    }
    if (usable_ == 0) {
        in_use_since_.reset();
        settled_ = false;
    }
    queue_limit_ =
        allowed_.queue_length.value_or(reachable_ * allowed_.slots_per_replica.value_or(waiters_without_cap));
}

// Out of the list first: once woken, a waiter may be gone.
void deployment::wake(queue& served) {
    while (!served.empty()) {
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
    const auto& server = *one.server;
    if (server.current != &one || !one.reachable()) return false;
    if (allowed_.slots_per_replica && server.in_flight >= *allowed_.slots_per_replica) return false;
    return server.standing == standing::ready || (server.standing == standing::half_open && server.trial == 0);
}

// Of those with room that `who` does not avoid; null: none. Starting behind the last choice makes those that tie take
// turns.
replica* deployment::least_busy(const waiter* who) {
    const auto count = replicas_.size();
    replica* least = nullptr;
    std::uint64_t least_load = 0;
    for (std::size_t seen = 0, at = next_; seen < count; ++seen) {
        auto& each = *replicas_[at];
        at = at + 1 == count ? 0 : at + 1;
        const auto load = std::uint64_t{each.server->in_flight + 1} * each.server->handicap;
        if (!has_room(each) || (least != nullptr && least_load <= load)) continue;
        if (who != nullptr && who->avoids(*each.server)) continue;
        least = &each;
        least_load = load;
        next_ = at;
        if (load == 1) break;
    }
    return least;
}

slot deployment::occupy(replica& where) {
    const bool had_room = has_room(where);
    auto& server = *where.server;
    ++where.slots;
    ++server.in_flight;
    if (had_room && server.standing == standing::half_open) server.trial = ++server.trials;
    if (had_room && !has_room(where)) --open_;
    return {*this, where, had_room ? server.trial : 0};
}

// Null: all of them avoid it.
waiter* deployment::grant_to_first(replica& free) {
    const auto first =
        std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& each) { return !each.avoids(*free.server); });
    if (first == waiting_.end()) return nullptr;
    auto& served = *first;
    waiting_.erase(first);
    served.granted_ = occupy(free);
    return &served;
}

// After a change that may have made room in more than one place.
void deployment::serve_waiting(queue& served) {
    for (auto each = waiting_.begin(); open_ != 0 && each != waiting_.end();) {
        auto& who = *each++;
        auto* const where = least_busy(&who);
        if (where == nullptr) continue;
        who.granted_ = occupy(*where);
        waiting_.erase(queue::s_iterator_to(who));
        served.push_back(who);
    }
    note_fullness();
}

// After every change of who waits, who is busy, and the limits.
void deployment::note_fullness() {
    full_.store(hopeful_ != 0 && open_ == 0 && waiting_.size() >= queue_limit_, std::memory_order_relaxed);
}

// For who avoids all that may be used and all that are starting: one that is ejected and that he does not avoid goes on
// trial, as it does for everybody when no other is left. False: not so, or there is none.
bool deployment::try_ejected(const waiter& who) {
    model_server* chosen = nullptr;
    for (const auto& each : replicas_) {
        auto& server = *each->server;
        if (!each->reachable() || who.avoids(server)) continue;
        if (may_be_used(server.standing) || server.standing == standing::starting) return false;
        if (server.standing == standing::ejected && (chosen == nullptr || server.in_flight < chosen->in_flight))
            chosen = &server;
    }
    if (chosen == nullptr) return false;
    become(*chosen, standing::half_open);
    count();
    return true;
}

// Nobody waits for it while there is one, so that taking it passes nobody by.
base::result<slot> deployment::occupy_one(const waiter* who, time_point now) {
    if (auto* const where = open_ != 0 ? least_busy(who) : nullptr; where != nullptr) {
        auto made = occupy(*where);
        note_fullness();
        return made;
    }
    const auto may_get = [&](const auto& each) {
        const auto how = each->server->standing;
        return each->reachable() && (may_be_used(how) || how == standing::starting) && !who->avoids(*each->server);
    };
    const bool avoids_some = who != nullptr && who->avoiding_ != 0;
    if (avoids_some && try_ejected(*who)) return occupy_one(who, now);
    const bool none = hopeful_ == 0 || (avoids_some && std::none_of(replicas_.begin(), replicas_.end(), may_get));
    auto why = base::fail(none ? base::fault::no_ready_replica : base::fault::queue_full);
    why.retry_after =
        none ? static_cast<unsigned>(least_wait.count()) : seconds_to_wait(now); // it may be at any moment
    return why;
}

std::variant<slot, queued, base::failure> deployment::reserve(waiter& who, time_point now) {
    const std::lock_guard lock(mutex_);
    auto made = occupy_one(&who, now);
    if (made) return std::move(*made);
    const bool waited = who.avoiding_ != 0;
    if (made.error().kind == base::fault::no_ready_replica || (!waited && waiting_.size() >= queue_limit_))
        return made.error();
    const auto first_to_come = [](const waiter& each) { return each.avoiding_ == 0; };
    waiting_.insert(waited ? std::find_if(waiting_.begin(), waiting_.end(), first_to_come) : waiting_.end(), who);
    note_fullness();
    return queued{};
}

base::result<slot> deployment::reserve_now(time_point now, const waiter* who) {
    const std::lock_guard lock(mutex_);
    auto made = occupy_one(who, now);
    if (!made && usable_ == 0) { // one may be starting, but not for somebody who does not wait
        auto why = base::fail(base::fault::no_ready_replica);
        why.retry_after = static_cast<unsigned>(least_wait.count());
        return why;
    }
    return made;
}

bool deployment::abandon(waiter& who) {
    const std::lock_guard lock(mutex_);
    if (who.granted_) return false;
    waiting_.erase(queue::s_iterator_to(who));
    note_fullness();
    return true;
}

// The freed place goes to who waits longest before anybody else can see it.
void deployment::release(replica& freed, outcome what, unsigned trial) {
    queue served;
    {
        const std::lock_guard lock(mutex_);
        ++given_back_;
        auto& server = *freed.server;         // outlives `freed` if there is another one with its URL
        auto* const current = server.current; // which this is then, if its addresses have changed
        const bool had_room = current != nullptr && has_room(*current);
        const auto stood = server.standing;
        --server.in_flight;
        --freed.slots;
        if (current != &freed && freed.slots == 0)
            std::erase_if(removed_, [&](const auto& each) { return each.get() == &freed; });
        if (current == nullptr) return;
        const bool on_trial = trial != 0 && server.trial == trial;
        if (on_trial) server.trial = 0;
        learn(server, what, on_trial);
        if (server.standing != stood) {
            count();
            serve_waiting(served);
        } else {
            if (!had_room && has_room(*current)) ++open_;
            if (!waiting_.empty() && has_room(*current))
                if (auto* const first = grant_to_first(*current); first != nullptr) served.push_back(*first);
            note_fullness();
        }
    }
    wake(served);
}

void deployment::report(replica& by, outcome what, unsigned trial) {
    queue served;
    {
        const std::lock_guard lock(mutex_);
        auto& server = *by.server;
        const auto stood = server.standing;
        if (server.current == nullptr) return;
        learn(server, what, trial != 0 && server.trial == trial);
        if (server.standing == stood) return;
        count();
        serve_waiting(served);
    }
    wake(served);
}

// When it is half-open the trial alone counts: what was sent before is of another time.
void deployment::learn(model_server& about, outcome what, bool on_trial) {
    about.answered |= what == outcome::answered || what == outcome::busy;
    if (what == outcome::answered) {
        about.failures = 0;
        if (on_trial && about.standing == standing::half_open) become(about, standing::ready);
    } else if (what == outcome::failed) {
        ++about.failures;
        const bool failed_trial = on_trial && about.standing == standing::half_open;
        const bool once_too_often = about.standing == standing::ready && about.failures >= failures_to_eject;
        if ((failed_trial || once_too_often) && may_eject(about)) become(about, standing::ejected);
    }
}

// At most half of the ready replicas, the last never.
bool deployment::may_eject(const model_server& one) const {
    std::size_t ready = 0, out = 1;
    for (const auto& each : replicas_) {
        const auto how = each->server->standing;
        if (!each->reachable() || how == standing::starting || how == standing::unready) continue;
        ++ready;
        if (is_out(how) && each->server.get() != &one) ++out;
    }
    return 2 * out <= ready;
}

void deployment::become(model_server& one, standing next) {
    const auto before = std::exchange(one.standing, next);
    if (before == next) return;
    if (before == standing::ready || next == standing::ready) one.turned = std::chrono::system_clock::now();
    one.since.reset();
    one.failures = 0;
    one.trial = 0;
    const bool beside_others = usable_ > (may_be_used(before) ? 1 : 0);
    one.handicap = next == standing::ready && settled_ && beside_others ? first_handicap : 1;
    if (next == standing::ejected) ++one.ejections;
    if (one.current != nullptr)
        changes_.push_back({one.current->url, next,
                            next == standing::ejected ? ejection_length(one.ejections) : std::chrono::seconds{}});
}

std::vector<deployment::change> deployment::advance(time_point now) {
    queue served;
    std::vector<change> changes;
    {
        const std::lock_guard lock(mutex_);
        if (usable_ != 0 && !in_use_since_) in_use_since_ = now;
        settled_ = in_use_since_ && now - *in_use_since_ >= slow_start;
        bool ended = false;
        for (const auto& each : replicas_) {
            auto& server = *each->server;
            if (server.handicap == 1 && server.ejections == 0) continue;
            if (!server.since) server.since = now;
            const auto passed = now - *server.since;
            const bool over = passed >= ejection_length(server.ejections);
            if (server.standing == standing::ejected && over) {
                become(server, standing::half_open);
                ended = true;
            } else if (server.standing == standing::ready) {
                if (over) server.ejections = 0;
                const auto share = std::max<time_point::duration>(passed, slow_start / first_handicap);
                server.handicap = std::max(1U, std::min(server.handicap, static_cast<unsigned>(slow_start / share)));
            }
        }
        if (ended) {
            count();
            serve_waiting(served);
        }
        changes.swap(changes_);
    }
    wake(served);
    return changes;
}

// Null if it is gone, or cannot be reached.
replica* deployment::find(std::uint64_t replica_id) {
    const auto found = std::find_if(replicas_.begin(), replicas_.end(),
                                    [&](const auto& each) { return each->id == replica_id && each->reachable(); });
    return found == replicas_.end() ? nullptr : found->get();
}

std::vector<deployment::probe_subject> deployment::subjects() {
    const std::lock_guard lock(mutex_);
    std::vector<probe_subject> all;
    for (const auto& each : replicas_)
        if (each->reachable())
            all.push_back({each->id, each->url, each->server->standing, std::exchange(each->server->answered, false)});
    return all;
}

std::optional<slot> deployment::reserve_for_probe(std::uint64_t replica_id) {
    const std::lock_guard lock(mutex_);
    auto* const found = find(replica_id);
    if (found == nullptr) return {};
    if (allowed_.slots_per_replica && found->server->in_flight >= *allowed_.slots_per_replica) return {};
    auto made = occupy(*found);
    note_fullness();
    return made;
}

void deployment::set_ready(std::uint64_t replica_id) {
    set_standing(replica_id, standing::ready,
                 [](standing now) { return now == standing::starting || now == standing::unready; });
}

void deployment::set_unready(std::uint64_t replica_id) {
    set_standing(replica_id, standing::unready, [](standing now) { return now != standing::unready; });
}

void deployment::set_standing(std::uint64_t replica_id, standing next, bool (*applies)(standing)) {
    queue served;
    {
        const std::lock_guard lock(mutex_);
        auto* const found = find(replica_id);
        if (found == nullptr || !applies(found->server->standing)) return;
        become(*found->server, next);
        count();
        serve_waiting(served);
    }
    wake(served);
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

void deployment::add_ids(std::unordered_set<std::uint64_t>& to) const {
    const std::lock_guard lock(mutex_);
    for (const auto& each : replicas_) to.insert(each->id);
}

deployment::state deployment::look() const {
    const std::lock_guard lock(mutex_);
    state all;
    for (const auto& each : replicas_)
        all.replicas.push_back(
            {each->url, each->reachable(), each->server->in_flight, each->server->standing, each->server->turned});
    for (const auto& each : removed_)
        if (each->server->current == nullptr) all.leaving += each->slots;
    all.queued = waiting_.size();
    if (allowed_.slots_per_replica) all.slots = std::uint64_t{*allowed_.slots_per_replica} * usable_;
    return all;
}

std::size_t deployment::waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
}

} // namespace scoregate::routing
