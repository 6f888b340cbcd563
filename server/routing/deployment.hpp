// The replicas of one deployment, who is busy, and who waits: the one thing that the cores share while they serve. One
// mutex, held for a few instructions and never across I/O; any core may call. Picking a replica, taking its slot and
// joining the queue are one step inside it. Kept across reloads by its key, so that a reload forgets nothing that is in
// flight or waits.
//
// Invariants: the requests in flight at a server equal the slots that name a replica of its URL, and are never raised
// beyond the cap; while somebody waits, no replica that may be used has a free slot; who waits is served in the order
// of arrival, whatever the core; a replica that a reload removed gets no new slot and is destroyed with its last one; a
// slot and a waiter may not outlive their deployment (the exchange's snapshot pins it).
//
// Retry-After: slots given back are counted, which needs no clock. Time is looked at only when somebody has to wait or
// is refused, that is, while all slots are taken and what is given back is all that the replicas can do. The pace is
// what was given back in the last five to ten seconds of such asking, or longer if nothing was; while nothing is given
// back the wait that is announced grows. Nobody asked for ten seconds: what was measured before is forgotten.
#pragma once

#include "base/executor.hpp"
#include "base/result.hpp"
#include "tls/replica_trust.hpp"

#include <boost/intrusive/list.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace scoregate::routing {

struct replica;

// The model server behind a URL, whatever addresses the URL's name has: what the cap is about. A name that gets another
// answer from DNS may well lead to the same server. Guarded by the deployment's mutex.
struct model_server {
    unsigned in_flight = 0;
    replica* current = nullptr; // of the configuration in force; null: a reload removed it
};

struct replica {
    std::uint64_t id;                                // never reused in a process: pools are keyed by it
    std::string url;                                 // as configured: its name in logs
    std::vector<base::tcp::endpoint> addresses;      // tried in order
    std::string host;                                // of the URL
    bool tls;                                        // its URL is https://
    std::shared_ptr<const tls::replica_trust> trust; // what it has to prove then; null: nobody can
    std::shared_ptr<model_server> server; // shared with those of the URL that a reload removed and that are busy
    unsigned slots = 0;                   // that name it; guarded by the deployment's mutex
};

// What a reload knows of a replica. No addresses: its name does not resolve now, and it gets no requests.
struct replica_settings {
    std::string url;
    std::vector<base::tcp::endpoint> addresses;
    std::string host = {};
    bool tls = false;
    std::shared_ptr<const tls::replica_trust> trust = {};
};

// How much a deployment lets in.
struct admission {
    std::optional<unsigned> slots_per_replica = 1; // null: no cap, and so nobody ever waits
    std::optional<std::size_t> queue_length; // null: slots_per_replica x replicas that can be reached; 0: no queue
};

class deployment;

// A place on a replica, held while a request is with it. Frees itself, which hands it to the oldest waiter.
class slot {
public:
    slot() = default;
    slot(deployment& owner, replica& where) : owner_(&owner), replica_(&where) {}
    ~slot() { release(); }
    slot(slot&& other) noexcept;
    slot& operator=(slot&& other) noexcept;

    explicit operator bool() const { return replica_ != nullptr; }
    // Valid while the slot is held. Its name and addresses are immutable.
    const replica& where() const { return *replica_; }
    // Whether a reload has removed the replica's URL meanwhile.
    bool leaving() const;
    void release();

private:
    deployment* owner_ = nullptr;
    replica* replica_ = nullptr;
};

// A request that waits for a slot. Owned by its exchange; in one queue at most.
class waiter : public boost::intrusive::list_base_hook<> {
public:
    // Called once per grant, by whichever thread freed the slot and without the deployment's mutex: it only posts to
    // the waiter's own core. Until that post has arrived there the waiter must stay where it is.
    using wake_call = void (*)(waiter&) noexcept;

    explicit waiter(wake_call wake) : wake_(wake) {}
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    // After the wake: what was granted. Its own core's thread, once the post has arrived.
    slot take() { return std::move(granted_); }

private:
    friend class deployment;
    wake_call wake_;
    slot granted_; // set with the deployment's mutex; the post hands it to the waiter's own core
};

struct queued {};

class deployment {
public:
    using time_point = std::chrono::steady_clock::time_point;

    // No URL twice. A URL keeps its requests in flight across calls, also when its addresses change, or when it goes
    // and comes back while requests are still with it: or the cap would not hold. Who waits is served at once if there
    // is room now. Lowering the cap takes no slot away: nothing is granted until enough have been given back.
    void update(std::vector<replica_settings> replicas, const admission& allowed);

    // A slot on the replica with the fewest requests in flight, ties rotating; or a place at the end of the queue, and
    // then `who` is woken or abandons; or why neither: fault::no_ready_replica if no replica can be reached,
    // fault::queue_full, both with retry_after. Who waits already when the last replica goes keeps its place.
    std::variant<slot, queued, base::failure> reserve(waiter& who, time_point now);
    // The same without waiting. fault::queue_full where a slot would have to be waited for.
    base::result<slot> reserve_now(time_point now);
    // `who`, queued and not yet woken, does not want to wait any longer. True: it is out of the queue. False: it has
    // been granted a slot already, its wake is on the way and must be awaited.
    bool abandon(waiter& who);

    // Whether reserve() would say queue_full, as of a moment ago: to refuse before a body is collected. No lock.
    bool full() const { return full_.load(std::memory_order_relaxed); }
    // When it is worth coming back, for somebody who is refused now: those who wait and one more, by the pace at which
    // slots are given back; 1..60 s, rounded up.
    std::chrono::seconds retry_after(time_point now);

    struct replica_state {
        std::string url;
        bool resolved;
        unsigned in_flight;
    };
    struct state {
        std::vector<replica_state> replicas;
        std::size_t queued = 0;
        std::uint64_t leaving = 0;          // requests at replicas that a reload removed
        std::optional<std::uint64_t> slots; // on replicas that can be reached; null: no cap
    };
    state look() const;

private:
    friend class slot;
    using replica_list = std::vector<std::unique_ptr<replica>>;
    using queue = boost::intrusive::list<waiter>;

    // How fast slots are given back while somebody asks in vain.
    class pace {
    public:
        // Somebody asks in vain; `given_back` counts up.
        void note(time_point now, std::uint64_t given_back);
        // Time from one to the next, as of the last note.
        std::chrono::nanoseconds interval(std::uint64_t given_back) const;

    private:
        struct sample {
            time_point at;
            std::uint64_t given_back;
        };
        sample oldest_{}, newest_{};
        std::optional<time_point> asked_; // last; empty: never
    };

    // All but release() with the mutex.
    static std::unique_ptr<replica> extract(replica_list& from, const replica_settings& same);
    static std::shared_ptr<model_server> server_of(const replica_list& among, const std::string& url);
    base::result<slot> occupy_one(time_point now);
    bool has_room(const replica&) const;
    replica& least_busy();
    slot occupy(replica&);
    waiter& grant_to_first(replica&);
    void note_fullness();
    unsigned seconds_to_wait(time_point now);
    void release(replica&);
    bool is_leaving(const replica&) const;

    mutable std::mutex mutex_;
    admission allowed_;
    std::size_t queue_limit_ = 0; // what allowed_ comes to; means nothing without a cap
    replica_list replicas_;
    replica_list removed_;      // still busy
    std::size_t reachable_ = 0; // of replicas_
    std::size_t open_ = 0;      // of those, with room for one more; 0 while somebody waits
    std::size_t next_ = 0;      // where the search for the least busy begins
    queue waiting_;
    std::uint64_t given_back_ = 0;
    pace pace_;
    std::atomic<bool> full_{false};
};

} // namespace scoregate::routing
