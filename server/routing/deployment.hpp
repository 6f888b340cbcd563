// The replicas of one deployment and who is busy: the one thing that the cores share while they serve. One mutex, held
// for a few instructions and never across I/O; any core may call. Kept across reloads by its key, so that a reload
// forgets nothing that is in flight.
//
// Invariants: a replica's in_flight equals the number of slots that name it; a replica that a reload removed gets no
// new slot and is destroyed with its last one; a slot may not outlive its deployment (the exchange's snapshot pins it).
#pragma once

#include "base/executor.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace scoregate::routing {

struct replica {
    std::uint64_t id;                           // never reused in a process: pools are keyed by it
    std::string url;                            // as configured: its name in logs
    std::vector<base::tcp::endpoint> addresses; // tried in order
    unsigned in_flight = 0;                     // guarded by the deployment's mutex
};

// What a reload knows of a replica. No addresses: its name does not resolve now, and it gets no requests.
struct replica_settings {
    std::string url;
    std::vector<base::tcp::endpoint> addresses;
};

class deployment;

// A place on a replica, held while a request is with it. Frees itself.
class slot {
public:
    slot() = default;
    slot(deployment& owner, replica& where) : owner_(&owner), replica_(&where) {}
    ~slot() { release(); }
    slot(slot&& other) noexcept;
    slot& operator=(slot&& other) noexcept;

    explicit operator bool() const { return replica_ != nullptr; }
    // Valid while the slot is held. Everything in it but in_flight is immutable.
    const replica& where() const { return *replica_; }
    void release();

private:
    deployment* owner_ = nullptr;
    replica* replica_ = nullptr;
};

class deployment {
public:
    // Replicas are the same across calls if URL and addresses are.
    void update(std::vector<replica_settings> replicas);

    // The replica with the fewest requests in flight; ties rotate. fault::no_ready_replica if none can be reached.
    base::result<slot> reserve();

    struct replica_state {
        std::string url;
        bool resolved;
        unsigned in_flight;
    };
    std::vector<replica_state> states() const;

private:
    friend class slot;
    void release(replica&);

    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<replica>> replicas_;
    std::vector<std::unique_ptr<replica>> removed_; // still busy
    std::size_t next_ = 0;                          // where the search for the least busy begins
};

} // namespace scoregate::routing
