// A deployment against the most obvious one that does the same, step by step at random.
#include "unit/routing/deployment_calls.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace deployment_tests;

namespace {

// Callers are numbers; everything is looked for from one end to the other, and nothing is remembered that can be
// counted.
class naive_deployment {
public:
    struct place {
        int number; // what the real one's identifier stands for
        std::string url;
        bool reachable;
        unsigned in_flight;
        friend bool operator==(const place&, const place&) = default;
    };
    struct grant {
        int caller;
        int place;
    };

    std::vector<grant> update(const std::vector<replica_settings>& wanted, const admission& to) {
        std::vector<place> updated;
        for (const auto& each : wanted) {
            place found{-1, each.url, !each.addresses.empty(), 0};
            for (auto* list : {&places, &removed})
                for (const auto& old : *list)
                    if (found.number < 0 && old.url == each.url && old.reachable == found.reachable) found = old;
            std::erase(places, found);
            std::erase(removed, found);
            if (found.number < 0) found.number = ++last_number;
            updated.push_back(found);
        }
        for (const auto& old : places)
            if (old.in_flight > 0) removed.push_back(old);
        places = updated;
        allowed = to;
        if (next >= places.size()) next = 0;
        return serve();
    }

    // A place's number, or why not.
    static constexpr int refused_full = -1, refused_none = -2, waits = -3;
    int reserve_now() {
        if (std::none_of(places.begin(), places.end(), [](const auto& each) { return each.reachable; }))
            return refused_none;
        if (!queue.empty()) return refused_full;
        const auto free = least_busy();
        return free == nullptr ? refused_full : occupy(*free);
    }
    int reserve(int caller) {
        const auto got = reserve_now();
        if (got != refused_full || queue.size() >= queue_limit()) return got;
        queue.push_back(caller);
        return waits;
    }
    std::vector<grant> release(int number) {
        for (auto* list : {&places, &removed})
            for (auto& each : *list)
                if (each.number == number) --each.in_flight;
        std::erase_if(removed, [](const auto& each) { return each.in_flight == 0; });
        const auto turn = next;
        auto granted = serve();
        next = turn; // only what was freed can be granted: nobody is chosen, and no turn is used up
        return granted;
    }
    bool abandon(int caller) { return std::erase(queue, caller) == 1; }
    bool full() const {
        auto copy = *this;
        return copy.reserve(0) == refused_full;
    }

    std::size_t queue_limit() const {
        if (allowed.queue_length) return *allowed.queue_length;
        return slots().value_or(0);
    }
    std::optional<std::uint64_t> slots() const {
        if (!allowed.slots_per_replica) return {};
        std::uint64_t sum = 0;
        for (const auto& each : places)
            if (each.reachable) sum += *allowed.slots_per_replica;
        return sum;
    }

    // At the server behind the URL, whatever the addresses of its places are and were.
    unsigned at_server(const std::string& url) const {
        unsigned sum = 0;
        for (const auto* list : {&places, &removed})
            for (const auto& each : *list)
                if (each.url == url) sum += each.in_flight;
        return sum;
    }

    std::vector<place> places, removed;
    std::deque<int> queue;
    admission allowed;

private:
    place* least_busy() {
        place* least = nullptr;
        for (std::size_t i = 0; i < places.size(); ++i) {
            auto& each = places[(next + i) % places.size()];
            const bool room =
                each.reachable && (!allowed.slots_per_replica || at_server(each.url) < *allowed.slots_per_replica);
            if (room && (least == nullptr || at_server(each.url) < at_server(least->url))) least = &each;
        }
        return least;
    }
    int occupy(place& where) {
        ++where.in_flight;
        next = (static_cast<std::size_t>(&where - places.data()) + 1) % places.size();
        return where.number;
    }
    std::vector<grant> serve() {
        std::vector<grant> granted;
        for (auto* free = least_busy(); !queue.empty() && free != nullptr; free = least_busy()) {
            granted.push_back({queue.front(), occupy(*free)});
            queue.pop_front();
        }
        return granted;
    }

    std::size_t next = 0;
    int last_number = 0;
};

// Writes down who is woken, in order.
struct numbered : waiter {
    explicit numbered(int of, std::vector<int>& wakes) : waiter(note), number(of), woken(wakes) {}
    static void note(waiter& who) noexcept {
        auto& self = static_cast<numbered&>(who);
        self.woken.push_back(self.number);
    }
    int number;
    std::vector<int>& woken;
};

// Both, side by side. Every answer is compared as it comes, the whole state after each step.
class pair_of_deployments {
public:
    explicit pair_of_deployments(unsigned seed) : random_(seed) {
        for (int i = 0; i < 12; ++i) callers_.push_back(std::make_unique<numbered>(i, woken_));
        update();
    }
    ~pair_of_deployments() {
        for (auto& each : callers_)
            if (each->is_linked()) real_.abandon(*each);
    }

    void step() {
        const auto dice = below(100);
        if (dice < 40)
            reserve();
        else if (dice < 50)
            reserve_now();
        else if (dice < 75)
            release();
        else if (dice < 85)
            abandon();
        else if (dice < 95)
            take();
        else
            update();
        compare();
    }

private:
    struct held_slot {
        slot real;
        int place;
    };
    enum class phase : std::uint8_t { idle, waiting, granted };

    std::size_t below(std::size_t limit) { return random_() % limit; }
    template <class T>
    const T& one_of(const std::vector<T>& all) {
        return all[below(all.size())];
    }
    std::vector<int> in(phase which) const {
        std::vector<int> all;
        for (int i = 0; i < static_cast<int>(callers_.size()); ++i)
            if (phases_[static_cast<std::size_t>(i)] == which) all.push_back(i);
        return all;
    }

    void expect_failure(const base::failure& why, int answer) {
        REQUIRE(why.kind ==
                (answer == naive_deployment::refused_none ? base::fault::no_ready_replica : base::fault::queue_full));
        REQUIRE(why.retry_after >= 1);
        REQUIRE(why.retry_after <= 60);
    }
    // One place is one identifier, for as long as it lives, and no other's.
    void keep(slot real, int place) {
        REQUIRE(real);
        REQUIRE(place > 0);
        const auto id = real.where().id;
        REQUIRE(ids_.emplace(place, id).first->second == id);
        REQUIRE(places_.emplace(id, place).first->second == place);
        held_.push_back({std::move(real), place});
    }

    void reserve() {
        const auto idle = in(phase::idle);
        if (idle.empty()) return;
        const auto who = one_of(idle);
        const auto expected = naive_.reserve(who);
        auto answer = real_.reserve(*callers_[static_cast<std::size_t>(who)], now());
        REQUIRE(std::holds_alternative<queued>(answer) == (expected == naive_deployment::waits));
        if (auto* const got = std::get_if<slot>(&answer))
            keep(std::move(*got), expected);
        else if (const auto* const why = std::get_if<base::failure>(&answer))
            expect_failure(*why, expected);
        else
            phases_[static_cast<std::size_t>(who)] = phase::waiting;
    }
    void reserve_now() {
        const auto expected = naive_.reserve_now();
        auto answer = real_.reserve_now(now());
        REQUIRE(answer.has_value() == (expected > 0));
        if (answer)
            keep(std::move(*answer), expected);
        else
            expect_failure(answer.error(), expected);
    }
    void release() {
        if (held_.empty()) return;
        std::swap(held_[below(held_.size())], held_.back());
        const auto place = held_.back().place;
        held_.pop_back();
        note_grants(naive_.release(place));
    }
    // Who was granted a slot and has not heard of it yet may try, too.
    void abandon() {
        auto candidates = in(phase::waiting);
        for (const auto each : in(phase::granted)) candidates.push_back(each);
        if (candidates.empty()) return;
        const auto who = one_of(candidates);
        const auto expected = naive_.abandon(who);
        REQUIRE(real_.abandon(*callers_[static_cast<std::size_t>(who)]) == expected);
        if (expected) phases_[static_cast<std::size_t>(who)] = phase::idle;
    }
    void take() {
        const auto granted = in(phase::granted);
        if (granted.empty()) return;
        const auto who = one_of(granted);
        keep(callers_[static_cast<std::size_t>(who)]->take(), granted_.at(who));
        phases_[static_cast<std::size_t>(who)] = phase::idle;
    }
    void update() {
        static const std::vector<std::optional<unsigned>> caps{1, 1, 2, 3, std::nullopt};
        static const std::vector<std::optional<std::size_t>> lengths{std::nullopt, 0, 1, 3, 8};
        std::vector<replica_settings> wanted;
        for (const auto* url : {"a", "b", "c", "d", "e"})
            if (below(3) != 0) wanted.push_back(below(6) != 0 ? settings_of(url) : unreachable(url));
        std::shuffle(wanted.begin(), wanted.end(), random_);
        const admission allowed{one_of(caps), one_of(lengths)};
        const auto expected = naive_.update(wanted, allowed);
        real_.update(std::move(wanted), allowed);
        note_grants(expected);
    }
    void note_grants(const std::vector<naive_deployment::grant>& expected) {
        std::vector<int> callers;
        for (const auto& each : expected) {
            callers.push_back(each.caller);
            granted_[each.caller] = each.place;
            phases_[static_cast<std::size_t>(each.caller)] = phase::granted;
        }
        REQUIRE(woken_ == callers);
        woken_.clear();
    }
    void compare() {
        const auto seen = real_.look();
        REQUIRE(seen.replicas.size() == naive_.places.size());
        for (std::size_t i = 0; i < seen.replicas.size(); ++i) {
            REQUIRE(seen.replicas[i].url == naive_.places[i].url);
            REQUIRE(seen.replicas[i].resolved == naive_.places[i].reachable);
            REQUIRE(seen.replicas[i].in_flight == naive_.at_server(seen.replicas[i].url));
        }
        std::uint64_t leaving = 0;
        for (const auto& each : naive_.removed)
            if (std::none_of(naive_.places.begin(), naive_.places.end(),
                             [&](const auto& now) { return now.url == each.url; }))
                leaving += each.in_flight;
        REQUIRE(seen.leaving == leaving);
        REQUIRE(seen.queued == naive_.queue.size());
        REQUIRE(seen.slots == naive_.slots());
        REQUIRE(real_.full() == naive_.full());
        REQUIRE(woken_.empty());
    }
    clock_type::time_point now() { return now_ += std::chrono::milliseconds(below(500)); }

    std::mt19937 random_;
    deployment real_;
    naive_deployment naive_;
    std::vector<int> woken_;
    std::vector<std::unique_ptr<numbered>> callers_;
    std::array<phase, 12> phases_{};
    std::map<int, int> granted_; // caller to place
    std::vector<held_slot> held_;
    std::map<int, std::uint64_t> ids_;
    std::map<std::uint64_t, int> places_;
    clock_type::time_point now_{std::chrono::hours(1)};
};

} // namespace

TEST_CASE("at random, against a naive deployment") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        pair_of_deployments both(seed);
        for (int step = 0; step < 3000; ++step) both.step();
    }
}
