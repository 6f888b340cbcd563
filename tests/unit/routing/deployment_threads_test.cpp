// A deployment under threads: what must hold whoever comes first.
#include "unit/routing/deployment_calls.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

using namespace deployment_tests;

namespace {

// A core as the deployment sees it: a thread with requests of its own, and a letter box that wakes are posted to.
class playing_core {
public:
    struct tally {
        std::array<std::atomic<unsigned>, 4> running{}; // by replica a, b, c, d
        std::atomic<unsigned> most_at_once{0}, served{0}, abandoned{0}, too_late{0}, wrong{0};
        std::atomic<std::uint64_t> clock{1}; // orders what happens in different threads
    };
    // When a request asked, when it knew that it was in the queue, when it was woken.
    struct wait {
        std::uint64_t asked, queued, woken;
    };

    playing_core(deployment& at, tally& all, unsigned seed, unsigned turns)
        : at_(at), all_(all), random_(seed), turns_(turns) {}

    void run() {
        while (turns_ > 0 || !requests_.empty()) {
            while (turns_ > 0 && requests_.size() < at_once && ask()) --turns_;
            receive();
            if (random_() % 8 == 0) abandon_one();
            finish_one();
        }
    }
    const std::vector<wait>& waits() const { return waits_; }

private:
    static constexpr std::size_t at_once = 8; // more than there are slots: one core alone has to wait, too
    struct request : waiter {
        explicit request(playing_core& of) : waiter(post), core(of) {}
        static void post(waiter& who) noexcept {
            auto& self = static_cast<request&>(who);
            self.times.woken = self.core.all_.clock++;
            const std::lock_guard lock(self.core.mutex_);
            self.core.posted_.push_back(&self);
            self.core.arrived_.notify_one(); // with the lock: afterwards the core may be gone
        }
        playing_core& core;
        wait times{};
        slot held;
        bool letter_due = false; // its abandon came too late
    };

    // False if it was refused: the next one may try when something has moved.
    bool ask() {
        auto made = std::make_unique<request>(*this);
        made->times.asked = all_.clock++;
        auto answer = at_.reserve(*made, clock_type::now());
        if (auto* const why = std::get_if<base::failure>(&answer)) {
            if (why->kind != base::fault::queue_full) ++all_.wrong;
            std::this_thread::yield();
            return false;
        }
        if (auto* const got = std::get_if<slot>(&answer))
            begin(*made, std::move(*got));
        else
            made->times.queued = all_.clock++;
        requests_.push_back(std::move(made));
        return true;
    }
    static std::size_t index_of(const slot& held) { return static_cast<std::size_t>(held.where().url.back() - 'a'); }
    void begin(request& who, slot got) {
        const auto now = ++all_.running[index_of(got)];
        for (auto most = all_.most_at_once.load(); now > most && !all_.most_at_once.compare_exchange_weak(most, now);) {
        }
        who.held = std::move(got);
    }
    void receive() {
        std::deque<request*> letters;
        {
            std::unique_lock lock(mutex_);
            const bool idle = !requests_.empty() && std::none_of(requests_.begin(), requests_.end(),
                                                                 [](const auto& each) { return bool(each->held); });
            // Others hold what it waits for. The limit only turns a wake that never comes into a failure.
            if (idle && !arrived_.wait_for(lock, std::chrono::minutes(1), [this] { return !posted_.empty(); })) {
                std::fputs("A wake was lost\n", stderr);
                std::abort();
            }
            letters.swap(posted_);
        }
        for (auto* each : letters) {
            auto got = each->take();
            if (!got) ++all_.wrong;
            waits_.push_back(each->times);
            if (each->letter_due) {
                ++all_.too_late;
                drop(each);
            } else {
                begin(*each, std::move(got));
            }
        }
    }
    void abandon_one() {
        for (auto& each : requests_) {
            if (each->held || each->letter_due) continue;
            if (at_.abandon(*each)) {
                ++all_.abandoned;
                drop(each.get());
            } else
                each->letter_due = true;
            return;
        }
    }
    void finish_one() {
        std::vector<request*> running;
        for (auto& each : requests_)
            if (each->held) running.push_back(each.get());
        if (running.empty()) return;
        auto* const done = running[random_() % running.size()];
        --all_.running[index_of(done->held)];
        done->held.release();
        ++all_.served;
        drop(done);
    }
    void drop(request* which) {
        std::erase_if(requests_, [&](const auto& each) { return each.get() == which; });
    }

    deployment& at_;
    tally& all_;
    std::mt19937 random_;
    unsigned turns_;
    std::vector<std::unique_ptr<request>> requests_;
    std::vector<wait> waits_;
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<request*> posted_;
};

// The worst case of: how many that knew they were in the queue before this one asked were woken after it.
std::size_t most_overtaken(std::vector<playing_core::wait> all) {
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.woken > b.woken; });
    std::vector<std::uint64_t> later; // when those woken later were in the queue, sorted
    std::size_t most = 0;
    for (const auto& each : all) {
        const auto before = std::lower_bound(later.begin(), later.end(), each.asked);
        most = std::max(most, static_cast<std::size_t>(before - later.begin()));
        later.insert(std::lower_bound(later.begin(), later.end(), each.queued), each.queued);
        if (later.size() > 64) later.pop_back(); // the smallest say enough
    }
    return most;
}

constexpr unsigned cores = 4, turns = 4000;

} // namespace

TEST_CASE("many cores: the cap is exact, everybody is served, in order") {
    for (const unsigned cap : {1u, 2u}) {
        CAPTURE(cap);
        deployment blue;
        blue.update({settings_of("a"), settings_of("b"), settings_of("c")}, {cap, 16});
        playing_core::tally all;
        std::vector<std::unique_ptr<playing_core>> each;
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < cores; ++i) each.push_back(std::make_unique<playing_core>(blue, all, i, turns));
        for (auto& one : each) threads.emplace_back([&one] { one->run(); });
        for (auto& one : threads) one.join();
        CHECK(all.wrong == 0);
        CHECK(all.most_at_once == cap);
        CHECK(all.served + all.abandoned + all.too_late == cores * turns);
        CHECK(all.abandoned > 0);
        std::vector<playing_core::wait> waits;
        for (auto& one : each) waits.insert(waits.end(), one->waits().begin(), one->waits().end());
        CHECK(waits.size() > turns);
        // A thread that has freed a slot may be held up before it posts the wake: one per thread.
        CHECK(most_overtaken(waits) < cores);
        const auto left = blue.look();
        CHECK(left.queued == 0);
        for (const auto& replica : left.replicas) CHECK(replica.in_flight == 0);
        CHECK_FALSE(blue.full());
    }
}

TEST_CASE("many cores, and reloads meanwhile: the cap is exact and no wake is lost") {
    deployment blue;
    blue.update({settings_of("a"), settings_of("b")}, {1, 16});
    playing_core::tally all;
    std::vector<std::unique_ptr<playing_core>> each;
    std::vector<std::thread> threads;
    std::atomic<unsigned> finished{0};
    for (unsigned i = 0; i < cores; ++i) each.push_back(std::make_unique<playing_core>(blue, all, i, turns));
    for (auto& one : each)
        threads.emplace_back([&] {
            one->run();
            ++finished;
        });
    std::mt19937 random(4711);
    while (finished != cores) { // replicas come, go and come back while they are busy
        std::vector<replica_settings> wanted{settings_of("a")};
        for (const auto* url : {"b", "c", "d"})
            if (random() % 2 == 0) wanted.push_back(settings_of(url));
        std::shuffle(wanted.begin(), wanted.end(), random);
        blue.update(std::move(wanted), {1, random() % 16});
        std::this_thread::yield();
    }
    for (auto& one : threads) one.join();
    CHECK(all.wrong == 0);
    CHECK(all.most_at_once == 1);
    CHECK(all.served + all.abandoned + all.too_late == cores * turns);
    const auto left = blue.look();
    CHECK(left.queued == 0);
    for (const auto& replica : left.replicas) CHECK(replica.in_flight == 0);
}
