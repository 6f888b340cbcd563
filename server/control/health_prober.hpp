// Follows how replicas are: lets time pass for every deployment of the running snapshot, logs what has become of their
// replicas, and probes those that have a readiness_probe (when and with what consequence: control::probe_judge). A
// probe is a request of its own connection, holds a slot of its replica like any other request, and ends within its
// timeout. Control thread; owned by the process.
#pragma once

#include "base/buffer.hpp"
#include "base/deadline_wheel.hpp"
#include "base/executor.hpp"
#include "base/gate.hpp"
#include "control/assembly.hpp"
#include "control/probe_judge.hpp"
#include "upstream/connection.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace scoregate::control {

class health_prober {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds between_looks{250};
    static constexpr std::size_t most_at_once = 64; // probes under way, over all deployments
    // Of one deployment: one whose probes hang does not keep others from having theirs.
    static constexpr std::size_t most_of_deployment = 8;

    // `of` outlives it, and so does the loop.
    health_prober(base::executor where, const assembly& of)
        : where_(where), assembly_(of), pause_(where), tools_(std::make_shared<equipment>()) {}

    // Looks every `between_looks`, until stop() or the loop ends.
    base::task<> run();
    // One look: begins the probes that are due, ends those whose time is up. Time must not go back.
    void look(time_point now);
    // Ends run() and the probes under way, soon, and nothing is concluded from them.
    void stop();

    std::size_t under_way() const { return probes_.inside(); }
    // What was wrong with the last probe, of replicas where something was; by service, deployment and URL.
    std::map<std::array<std::string, 3>, std::string> failures() const;

    // What probes share. It lives until the last of their frames is gone, which may be with the loop.
    struct equipment {
        base::deadline_wheel wheel;
        base::buffer_pool buffers;
        std::set<upstream::connection*> connections; // of the probes under way
        bool stopped = false;
    };

    // A replica and the terms it is probed by.
    struct subject {
        std::uint64_t id;
        std::string url;
        assembly::watched in;
        time_point first_look;
        probe_judge judge;
        std::string failure = {}; // of the last probe, for the log
        bool retired = false;     // there are other terms, or it is gone: nothing is concluded any more
        // As of the last look.
        std::uint64_t seen = 0; // its number
        routing::standing standing = routing::standing::starting;
        probe_judge::step next = probe_judge::step::rest;
    };

private:
    void begin_due(time_point now);
    void tell(const assembly::watched& of, const routing::deployment::change& what) const;

    base::executor where_;
    const assembly& assembly_;
    base::tick_timer pause_;
    base::gate probes_;
    std::shared_ptr<equipment> tools_;
    std::map<std::uint64_t, std::shared_ptr<subject>> subjects_; // by id of the replica
    std::optional<time_point> last_look_;
    time_point::duration passed_{}; // for the probes' deadlines
    std::uint64_t looks_ = 0;
};

} // namespace scoregate::control
