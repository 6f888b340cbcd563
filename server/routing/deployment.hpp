// The replicas of one deployment, how they are, who is busy, and who waits: the one thing that the cores share while
// they serve. One mutex, held for a few instructions and never across I/O; any core may call. Picking a replica, taking
// its slot and joining the queue are one step inside it. Kept across reloads by its key, so that a reload forgets
// nothing that is in flight, waits, or is known of a replica's health.
//
// Invariants: the requests in flight at a server equal the slots that name a replica of its URL, and are never raised
// beyond the cap; while somebody waits, no replica that he may get has a free slot; who waits is served in the order of
// arrival, whatever the core; a replica that a reload removed gets no new slot and is destroyed with its last one; a
// slot and a waiter may not outlive their deployment (the exchange's snapshot pins it); as long as one replica of those
// that probes do not find unready can be reached, one of them may be used.
//
// Health: probes (control::health_prober) say which replicas are ready; without probes all are. What comes of requests
// says the rest: `failures_to_eject` failures in a row eject a replica for `first_ejection`, twice as long each time
// that it fails its trial. Then one request at a time tries it (half-open) until one is answered. At most half of the
// ready replicas are ejected, and never the last. A replica that comes into use beside others that are in use is
// preferred less at first (slow start). Time passes in advance() alone, so that a request costs no look at the clock.
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

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

namespace scoregate::routing {

struct replica;

// Whether a replica may be used, and why not.
enum class standing : std::uint8_t {
    ready,
    starting,  // no probe has succeeded yet
    unready,   // probes fail
    ejected,   // requests failed in a row
    half_open, // after that: gets one request at a time until one is answered
};
inline constexpr std::array<std::string_view, 5> standings{"ready", "starting", "unready", "ejected", "half_open"};
constexpr std::string_view to_string(standing how) { return standings[static_cast<std::size_t>(how)]; }

// What came of a request, as far as it tells how its replica is.
enum class outcome : std::uint8_t {
    untold,   // nothing: the client left, say
    answered, // a whole reply, whatever it says: a 500 is the model's answer
    busy,     // 429 or 503: it is there and has enough
    failed,   // no connection, no whole reply in time, none that is HTTP, 502, 504
};

constexpr outcome outcome_of_status(unsigned status) {
    switch (status) {
    case 429:
    case 503: return outcome::busy;
    case 502:
    case 504: return outcome::failed;
    default: return outcome::answered;
    }
}

// The model server behind a URL, whatever addresses the URL's name has: what cap and health are about. A name that gets
// another answer from DNS may well lead to the same server. Guarded by the deployment's mutex.
struct model_server {
    std::uint64_t id = 0; // never reused in a process
    unsigned in_flight = 0;
    replica* current = nullptr; // of the configuration in force; null: a reload removed it

    routing::standing standing = routing::standing::ready;
    bool reachable = true;
    std::chrono::system_clock::time_point turned = std::chrono::system_clock::now(); // see replica_state::since
    bool answered = false;                                                           // since the prober asked last
    unsigned failures = 0;                                                           // in a row
    unsigned ejections = 0;                                                          // not yet forgotten
    unsigned trials = 0;                                                             // of half-open times so far
    unsigned trial = 0;                                                              // the one under way; 0: none
    unsigned handicap = 1; // its requests in flight count so many times when the least busy is looked for
    // What advance() waits for: the end of an ejection, of a slow start, or the time that makes ejections forgotten.
    // Empty: advance() begins to count.
    std::optional<std::chrono::steady_clock::time_point> since;
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
    std::string unix_path = {};           // of its socket on this machine, instead of addresses

    bool reachable() const { return !addresses.empty() || !unix_path.empty(); }
};

// What a reload knows of a replica. No addresses: its name does not resolve now, and it gets no requests.
struct replica_settings {
    std::string url;
    std::vector<base::tcp::endpoint> addresses;
    std::string host = {};
    bool tls = false;
    std::shared_ptr<const tls::replica_trust> trust = {};
    std::string unix_path = {}; // belongs to the URL, as addresses do not
};

// How much a deployment lets in.
struct admission {
    std::optional<unsigned> slots_per_replica = 1; // null: no cap, and so nobody ever waits
    // Null: slots_per_replica x replicas that can be reached; without a cap only who waits for a replica to become
    // ready waits, and `waiters_without_cap` x replicas may. 0: no queue.
    std::optional<std::size_t> queue_length;
    bool probed = false;        // a new replica is not used until it is said to be ready
    bool assumed_ready = false; // but now: somebody else has been using them until a moment ago
};
inline constexpr std::size_t waiters_without_cap = 100;

// The rules of ejection and slow start.
inline constexpr unsigned failures_to_eject = 5;
inline constexpr std::chrono::seconds first_ejection{30}, longest_ejection{300};
inline constexpr std::chrono::seconds slow_start{10};
inline constexpr unsigned first_handicap = 10;

class deployment;

// A place on a replica, held while a request is with it. Frees itself, which hands it to the oldest waiter.
class slot {
public:
    slot() = default;
    slot(deployment& owner, replica& where, unsigned trial) : owner_(&owner), replica_(&where), trial_(trial) {}
    ~slot() { release(); }
    slot(slot&& other) noexcept;
    slot& operator=(slot&& other) noexcept;

    explicit operator bool() const { return replica_ != nullptr; }
    // Valid while the slot is held. Its name and addresses are immutable.
    const replica& where() const { return *replica_; }
    // Whether a reload has removed the replica's URL meanwhile.
    bool leaving() const;
    // What came of the request, before the slot is given back.
    void report(outcome) const;
    void release(outcome = outcome::untold);

private:
    deployment* owner_ = nullptr;
    replica* replica_ = nullptr;
    unsigned trial_ = 0; // its number at the server; 0: it is none
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

    // Not while it waits. It gets no slot at the model server of `where` any more, however many replicas there are: it
    // has been there. Whoever avoids one waits before those who do not: it has waited already. If it avoids all that
    // may be used, one that is ejected is tried.
    void avoid(const replica& where) { avoided_[avoiding_++ % avoided_.size()] = where.server->id; }
    void avoid_none() { avoiding_ = 0; }

private:
    friend class deployment;
    bool avoids(const model_server& one) const {
        const auto end = avoided_.begin() + std::min<std::size_t>(avoiding_, avoided_.size());
        return std::find(avoided_.begin(), end, one.id) != end;
    }

    wake_call wake_;
    std::array<std::uint64_t, 2> avoided_{}; // as many as there are further tries
    std::size_t avoiding_ = 0;
    slot granted_; // set with the deployment's mutex; the post hands it to the waiter's own core
};

struct queued {};

class deployment {
public:
    using time_point = std::chrono::steady_clock::time_point;

    // No URL twice. A URL keeps its requests in flight across calls, also when its addresses change, or when it goes
    // and comes back while requests are still with it: or the cap would not hold. Who waits is served at once if there
    // is room now. Lowering the cap takes no slot away: nothing is granted until enough have been given back. Health is
    // kept, too; a server at other addresses is not ejected any more.
    void update(std::vector<replica_settings> replicas, const admission& allowed);

    // A slot on the replica with the fewest requests in flight, ties rotating; or a place at the end of the queue (who
    // avoids some: of those who do, who stand before the others), and then `who` is woken or abandons; or why neither:
    // fault::no_ready_replica if none may be used that `who` does not avoid, and none is about to be ready (starting,
    // half-open), fault::queue_full, both with retry_after. Who waits already when the last replica goes keeps its
    // place.
    std::variant<slot, queued, base::failure> reserve(waiter& who, time_point now);
    // The same without waiting; `who` (null: nobody) says what is avoided. fault::queue_full where a slot would have to
    // be waited for.
    base::result<slot> reserve_now(time_point now, const waiter* who = nullptr);
    // `who`, queued and not yet woken, does not want to wait any longer. True: it is out of the queue. False: it has
    // been granted a slot already, its wake is on the way and must be awaited.
    bool abandon(waiter& who);

    // Whether reserve() would say queue_full, as of a moment ago: to refuse before a body is collected. No lock.
    bool full() const { return full_.load(std::memory_order_relaxed); }
    // When it is worth coming back, for somebody who is refused now: those who wait and one more, by the pace at which
    // slots are given back; 1..60 s, rounded up.
    std::chrono::seconds retry_after(time_point now);

    // Lets time pass: ejections end, slow starts go on. Several times a second; returns what has become of replicas
    // since the last call, for the log.
    struct change {
        std::string url;
        routing::standing now;
        std::chrono::seconds ejected_for{}; // with standing::ejected
    };
    std::vector<change> advance(time_point now);

    // For the prober. Of the replicas that can be reached; `answered`: a request was since the last call.
    struct probe_subject {
        std::uint64_t id; // of the replica
        std::string url;
        routing::standing standing;
        bool answered;
    };
    std::vector<probe_subject> subjects();
    // A slot for a probe of that replica. Empty: it is at its cap, or gone.
    std::optional<slot> reserve_for_probe(std::uint64_t replica_id);
    // What probes found. A replica that is gone is left alone. A good probe does not end an ejection; a bad one makes
    // it a matter of probes.
    void set_ready(std::uint64_t replica_id);
    void set_unready(std::uint64_t replica_id);

    struct replica_state {
        std::string url;
        bool resolved;
        unsigned in_flight;
        routing::standing standing = routing::standing::ready;
        // When it came, became ready, ceased to be that, or its name began or ceased to resolve: the last of them.
        std::chrono::system_clock::time_point since{};
        bool usable() const { return resolved && (standing == standing::ready || standing == standing::half_open); }
    };
    struct state {
        std::vector<replica_state> replicas;
        std::size_t queued = 0;
        std::uint64_t leaving = 0;          // requests at replicas that a reload removed
        std::optional<std::uint64_t> slots; // on replicas that may be used; null: no cap
    };
    state look() const;
    std::size_t waiting() const; // as look().queued, for less
    // Adds the ids of the replicas that may get new requests: of which idle connections are worth keeping.
    void add_ids(std::unordered_set<std::uint64_t>& to) const;

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

    // All with the mutex.
    static std::unique_ptr<replica> extract(replica_list& from, const replica_settings& same);
    static std::shared_ptr<model_server> server_of(const replica_list& among, const std::string& url);
    std::shared_ptr<model_server> new_server() const;
    replica* find(std::uint64_t replica_id);
    base::result<slot> occupy_one(const waiter* who, time_point now);
    bool try_ejected(const waiter& who);
    bool has_room(const replica&) const;
    replica* least_busy(const waiter* who);
    slot occupy(replica&);
    waiter* grant_to_first(replica&);
    void serve_waiting(queue& served);
    void note_fullness();
    unsigned seconds_to_wait(time_point now);
    void learn(model_server&, outcome, bool on_trial);
    bool may_eject(const model_server&) const;
    void become(model_server&, standing);
    void count();
    // Without it.
    void set_standing(std::uint64_t replica_id, standing next, bool (*applies)(standing now));
    void release(replica&, outcome, unsigned trial);
    void report(replica&, outcome, unsigned trial);
    bool is_leaving(const replica&) const;
    static void wake(queue& served);

    mutable std::mutex mutex_;
    admission allowed_;
    std::size_t queue_limit_ = 0; // what allowed_ comes to; means nothing without a cap
    replica_list replicas_;
    replica_list removed_;      // still busy
    std::size_t reachable_ = 0; // of replicas_
    std::size_t usable_ = 0;    // of those, that may be used
    std::size_t hopeful_ = 0;   // of those, that may be used or are starting
    std::size_t open_ = 0;      // of those that may be used, with room for one more; 0 while somebody waits for any
    std::size_t next_ = 0;      // where the search for the least busy begins
    queue waiting_;
    std::vector<change> changes_; // since the last advance()
    std::optional<time_point> in_use_since_;
    bool settled_ = false; // in use for so long that who comes now comes beside others
    std::uint64_t given_back_ = 0;
    pace pace_;
    std::atomic<bool> full_{false};
};

} // namespace scoregate::routing
