// What is counted for one service and deployment: a slot per core, each on cache lines of its own. Shared by the
// routing snapshots that name the deployment, so that a reload keeps the counts; one more, with empty names, counts the
// requests that matched no service. Core n alone writes at(n); the control thread reads.
#pragma once

#include "base/fault.hpp"
#include "telemetry/counter.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::telemetry {

// Finished requests by fault and status code, exactly, for the few pairs that occur: a list in order of first
// appearance, so that a plain 200 is found at once. Only grows: a pair seen for the first time may allocate (once per
// 32), a pair seen before never does. One writer; readers see an entry once it is whole.
class request_counts {
public:
    request_counts() = default;
    request_counts(const request_counts&) = delete;
    request_counts& operator=(const request_counts&) = delete;
    ~request_counts();

    // `status` is what the client got, or would have got: 499 where nobody was left to tell.
    void add(base::fault fault, std::uint16_t status) {
        const auto wanted = key(fault, status);
        for (block* at = &first_;; at = at->next.load(std::memory_order_relaxed)) {
            for (entry& each : at->entries) {
                const auto found = each.key.load(std::memory_order_relaxed);
                if (found == wanted) return each.count.add();
                if (found == 0) {
                    each.count.add();
                    return each.key.store(wanted, std::memory_order_release);
                }
            }
            if (!at->next.load(std::memory_order_relaxed)) at->next.store(new block, std::memory_order_release);
        }
    }

    // Calls visit(base::fault, std::uint16_t status, std::uint64_t count) for each pair that occurred.
    template <class Visit>
    void for_each(Visit visit) const {
        for (const block* at = &first_; at; at = at->next.load(std::memory_order_acquire))
            for (const entry& each : at->entries) {
                const auto found = each.key.load(std::memory_order_acquire);
                if (found == 0) return;
                visit(static_cast<base::fault>((found >> 16) - 1), static_cast<std::uint16_t>(found & 0xffff),
                      each.count.value());
            }
    }

private:
    struct entry {
        std::atomic<std::uint32_t> key{0}; // 0: free, and so is every entry after it
        counter count;
    };
    struct block {
        std::array<entry, 32> entries;
        std::atomic<block*> next{nullptr};
    };
    static constexpr std::uint32_t key(base::fault fault, std::uint16_t status) {
        return (static_cast<std::uint32_t>(fault) + 1) << 16 | status;
    }

    block first_;
};

// What became of a request that was to be copied to a deployment of mirrored traffic.
enum class mirror_result : std::uint8_t {
    answered, // the copy's reply was read whole
    failed,   // no connection, or no whole reply in time
    busy,     // no slot, not even after the queue
    too_large,
    no_memory,
};
inline constexpr std::array<std::string_view, 5> mirror_results{"answered", "failed", "busy", "too_large", "no_memory"};

// Why a request was tried once more.
enum class retry_reason : std::uint8_t {
    unsent, // nothing of it reached the replica
    closed, // its connection ended without a byte of a reply
    busy,   // 429 or 503
};
inline constexpr std::array<std::string_view, 3> retry_reasons{"unsent", "closed", "busy"};

// What came of a probe that was due.
enum class probe_result : std::uint8_t {
    success,
    failure,
    skipped, // requests that the replica had answered stood in for it
};
inline constexpr std::array<std::string_view, 3> probe_results{"success", "failure", "skipped"};

class service_metrics {
public:
    // How its replicas are; the control thread writes and reads.
    struct health {
        std::array<counter, probe_results.size()> probes; // by probe_result
        counter ejections;
    } health;

    struct alignas(64) per_core {
        request_counts requests;
        histogram request_duration;          // first byte of the request to the last of the reply
        histogram time_to_first_byte;        // head complete to the first byte of the reply written
        histogram overhead{overhead_bounds}; // scoregate's own part of it
        histogram queue_wait;                // of requests that had to wait for a slot, granted or not
        counter client_gone;
        counter abandoned, abandon_expired; // left to a replica that works on for nobody; longer than abandon_max
        std::array<counter, mirror_results.size()> mirrored; // copies of requests, by mirror_result
        counter replica_connects;
        counter bytes_in;                     // request heads and bodies, as read from the client
        counter bytes_out;                    // reply heads and bodies, as written to the client
        counter auth_primary, auth_secondary; // requests with that key
        counter auth_token;
        gauge in_flight;
        std::array<counter, retry_reasons.size()> retries; // by retry_reason
        gauge retrying;                                    // requests under way that a replica may have seen twice
    };

    // `cores` is at least 1.
    service_metrics(std::string service, std::string deployment, unsigned cores)
        : service_(std::move(service)), deployment_(std::move(deployment)), cores_(cores) {}

    const std::string& service() const noexcept { return service_; }
    const std::string& deployment() const noexcept { return deployment_; }

    per_core& at(unsigned core) { return cores_[core]; }
    const std::vector<per_core>& cores() const noexcept { return cores_; }

private:
    std::string service_;
    std::string deployment_;
    std::vector<per_core> cores_;
};

} // namespace scoregate::telemetry
