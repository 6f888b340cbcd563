// Asks DNS, and the hosts file before it, through c-ares on the control thread's loop: no thread, no lock. What it
// finds is for control::discovery; nothing is remembered here.
#pragma once

#include "base/executor.hpp"
#include "config/model.hpp"
#include "control/name_answer.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace scoregate::control {

class name_resolver {
public:
    // However many servers there are and however silent: a look-up has failed by then.
    static constexpr std::chrono::seconds longest_look_up{5};

    // An empty list: the servers of the system, as they are now.
    name_resolver(base::executor where, const std::vector<config::endpoint>& servers);
    // Look-ups under way come to nothing.
    ~name_resolver();
    name_resolver(const name_resolver&) = delete;
    name_resolver& operator=(const name_resolver&) = delete;

    // For the look-ups to come; those under way still ask whom they did.
    void use(const std::vector<config::endpoint>& servers);

    // IPv4 first. Search domains of resolv.conf apply, here and below.
    base::task<name_answer> addresses(std::string host);
    // Those of the lowest priority; weights are not looked at.
    base::task<name_answer> targets(std::string name);

private:
    class channel;

    base::executor where_;
    std::shared_ptr<channel> channel_;
    std::vector<std::weak_ptr<channel>> earlier_; // that may still be asked
};

} // namespace scoregate::control
