// The reload unit "configuration": reads it again, all or nothing, and hands a new snapshot on. Control thread; one
// reload at a time, later ones wait their turn.
#pragma once

#include "base/executor.hpp"
#include "config/load.hpp"
#include "control/assembly.hpp"
#include "control/discovery.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace scoregate::control {

class reloader {
public:
    using publish = std::function<void(std::shared_ptr<const routing::snapshot>)>;

    // `running` is what the process started with: its restart-only values stay in force. `publish` posts to the cores.
    reloader(base::executor where, config::source source, config::settings running, assembly& build, discovery& names,
             publish out);

    struct outcome {
        config::problems problems;         // empty: the new configuration is in force
        std::vector<std::string> warnings; // restart-only settings that were left as they are, and the like
    };
    base::task<outcome> reload();

    // Asks again for the names of replicas, for as long as the loop runs, and publishes what has changed.
    base::task<> follow_names();

    const config::settings& running() const { return running_; }

    struct history {
        std::uint64_t succeeded = 0, failed = 0;
        bool last_succeeded = true;
        std::chrono::system_clock::time_point last_at{}; // epoch: never
        config::problems last_problems;
    };
    const history& past() const { return past_; }

private:
    base::task<outcome> reload_now();

    base::executor where_;
    config::source source_;
    config::settings running_;
    assembly& assembly_;
    discovery& names_;
    publish publish_;
    history past_;
    bool busy_ = false;
    base::tick_timer idle_; // cancelled when busy_ ends
};

// Gives `next` the running values of what only a restart changes; returns the JSON pointers where they differed.
std::vector<std::string> keep_restart_only(config::settings& next, const config::settings& running);

} // namespace scoregate::control
