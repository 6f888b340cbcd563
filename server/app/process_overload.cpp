// What is done when memory or descriptors run short: new connections are refused, idle ones close, memory goes back to
// the system, until there is enough again. Requests under way and the admin port go on. Control thread.
#include "app/process.hpp"
#include "base/block_store.hpp"
#include "telemetry/log.hpp"
#include "telemetry/process_usage.hpp"

#include <algorithm>
#include <malloc.h>

namespace scoregate::app {

namespace {

// A core accepts some hundred connections meanwhile, of 50 KiB each while they shake hands; a look takes 6 us.
constexpr std::chrono::milliseconds between_looks{50};
// Returning memory walks through all of the heap, with a lock on the part that it looks at.
constexpr std::chrono::seconds between_trims{1};
constexpr std::chrono::seconds between_reminders{60};
// Of a core's idle connections, and of its handshakes, at each look: so that a short peak costs few, and that the core
// is not busy with it for long.
constexpr std::size_t least_evicted = 4, most_evicted = 256, part_evicted = 32;

void make_room(proxy::core& core) {
    for (auto* waiting : {&core.idle, &core.handshaking})
        core.evict(*waiting, std::clamp(waiting->size() / part_evicted, least_evicted, most_evicted),
                   telemetry::eviction::memory);
    base::block_store::release_unused(); // since the last look, not only since the last second
}

} // namespace

std::optional<std::uint64_t> process::most_memory() const {
    const auto& set = reloader_.running().limits.max_memory_bytes;
    if (set || !cgroup_memory_) return set;
    return cgroup_memory_->bytes;
}

void process::tell_most_memory() const {
    const auto most = most_memory();
    if (!most)
        telemetry::log().info("memory: neither limits.max_memory_bytes nor a cgroup limits it");
    else if (reloader_.running().limits.max_memory_bytes)
        telemetry::log().info("memory: limited to {} bytes by limits.max_memory_bytes", *most);
    else
        telemetry::log().info("memory: limited to {} bytes, 90 % of {}", *most, cgroup_memory_->file);
}

base::task<> process::watch_resources() {
    tell_most_memory();
    base::tick_timer timer(where());
    for (;;) {
        timer.expires_after(between_looks);
        const auto [ec] = co_await timer.async_wait(base::awaited);
        if (ec) co_return;
        watch_memory(std::chrono::steady_clock::now());
        watch_descriptors();
    }
}

void process::watch_memory(std::chrono::steady_clock::time_point now) {
    const auto most = most_memory();
    if (!most && !memory_.is_short()) return;
    const auto used = telemetry::resident_bytes();
    const auto change = memory_.judge(used, most);
    dealing_.short_of_memory.store(memory_.is_short(), std::memory_order_relaxed);
    if (change == memory_watch::change::ended)
        telemetry::log().info("memory: {} bytes are in use, new connections are accepted again", used);
    if (!memory_.is_short()) return;
    if (change == memory_watch::change::began) reminded_at_ = {};
    if (now >= reminded_at_ + between_reminders) {
        reminded_at_ = now;
        telemetry::log().warn("memory: {} bytes of {} are in use; new connections are refused and idle ones closed "
                              "(limits.max_memory_bytes, or 90 % of the cgroup's limit)",
                              used, *most);
    }
    for (auto& core : cores_) core->post([&core = *core] { make_room(core); });
    if (now < trimmed_at_ + between_trims) return;
    trimmed_at_ = now;
    ::malloc_trim(0);
}

// The listeners refuse by themselves; here only whether they have, since the last look.
void process::watch_descriptors() {
    std::uint64_t refused = 0;
    for (const auto& core : cores_)
        refused += core->metrics.refused[static_cast<std::size_t>(telemetry::refusal::descriptors)].value();
    short_of_descriptors_ = std::exchange(refused_for_descriptors_, refused) != refused;
}

} // namespace scoregate::app
