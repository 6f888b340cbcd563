// Addresses behind the names of replicas. Asked on the control thread (Asio resolves on a thread of its own); cores
// only see the result in a snapshot. When a name stops resolving its last good answer is kept.
#pragma once

#include "base/executor.hpp"
#include "config/model.hpp"

#include <map>
#include <string>
#include <vector>

namespace scoregate::control {

class discovery {
public:
    explicit discovery(base::executor where) : resolver_(where) {}

    // Asks for every replica of `settings`. True if an answer differs from the one known before.
    base::task<bool> resolve(const config::settings& settings);

    // In the order they are to be tried; empty if the name has never resolved.
    std::vector<base::tcp::endpoint> addresses(const config::replica&) const;

    // True if some replica is named rather than numbered, so that asking again makes sense.
    static bool has_names(const config::settings&);

private:
    using resolver = base::asio::ip::basic_resolver<base::tcp, base::executor>;

    base::task<bool> resolve(const config::replica& replica);

    resolver resolver_;
    std::map<std::string, std::vector<base::asio::ip::address>, std::less<>> known_; // by host
};

} // namespace scoregate::control
