// Finds the replicas behind names, and follows them: each name on its own, as its TTL says. Control thread; cores only
// see the result in a snapshot. name_record says what an answer means. Its loop must not run after it has ended.
#pragma once

#include "base/executor.hpp"
#include "base/gate.hpp"
#include "config/model.hpp"
#include "control/name_answer.hpp"
#include "control/name_resolver.hpp"
#include "routing/deployment.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace scoregate::control {

class discovery {
public:
    static constexpr std::size_t most_targets = 100;     // of one SRV name that are used
    static constexpr unsigned most_target_look_ups = 16; // of targets, at once

    explicit discovery(base::executor where);

    // Called by the loop when what is known has changed: once for changes that come together.
    void when_changed(std::function<void()> call) { on_change_ = std::move(call); }

    // Follows the names of `settings` too, by its `dns`. Returns once each of them has had an answer or been given up
    // for now: within 5 s, or 10 s with SRV records, whose targets are names themselves.
    base::task<> learn(const config::settings&);
    // Follows the names of `settings` alone from here on.
    void keep_only(const config::settings&);

    // The replicas that a text stands for now. A host without an address is one that cannot be reached; of the other
    // sources there are as many as were found. Nothing of TLS is filled in.
    std::vector<routing::replica_settings> replicas(const config::replica&) const;

private:
    enum class record_kind : std::uint8_t { address, srv };
    using key = std::pair<record_kind, std::string>;
    struct followed;

    static std::set<key> keys_of(const config::settings&);
    void reconcile();
    base::task<> follow(std::shared_ptr<followed> one);
    base::task<name_answer> look_up(const followed& one);
    base::task<name_answer> look_up_target(std::string host);
    base::task<> wait_for_answers(std::set<key> of, std::chrono::seconds longest);
    bool defers(followed& one) const;
    void wake(std::set<base::tick_timer*>& those);
    void announce();

    base::executor where_;
    std::vector<config::endpoint> servers_;
    name_record::limits limits_;
    name_resolver resolver_;
    std::chrono::steady_clock::time_point asked_since_; // the resolver's servers are those of then
    std::set<key> wanted_;                              // by settings
    std::map<key, std::shared_ptr<followed>> followed_; // those, and the targets of their SRV records
    base::gate following_;
    std::set<base::tick_timer*> waiting_for_answers_; // cancelled when a name has been answered
    std::set<base::tick_timer*> waiting_for_turn_;    // targets; cancelled when a look-up of one has ended
    unsigned target_look_ups_ = 0;                    // under way
    std::function<void()> on_change_;
    std::shared_ptr<bool> announced_ = std::make_shared<bool>(false);
};

// What a start would look up, a line for each text that needs it.
std::vector<std::string> look_ups_of(const config::settings&);

} // namespace scoregate::control
