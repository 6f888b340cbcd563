// The last requests that failed, for the page and for `scoregate status`: what is needed to find their lines in the
// access log, and no more: no path, no key, no address. A core keeps its own until the control thread fetches them
// (recent_errors), which keeps the last of all (error_list). What clients did wrong is kept apart, so that a flood of
// it hides no failing replica. Bounded, nothing is allocated on a core until it is asked; one thread each.
#pragma once

#include "base/fault.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

namespace scoregate::telemetry {

// The first N bytes of a text.
template <std::size_t N>
class brief_text {
public:
    brief_text() = default;
    explicit brief_text(std::string_view text) : size_(static_cast<std::uint8_t>(text.copy(bytes_.data(), N))) {
        static_assert(N < 256);
    }
    std::string_view view() const { return {bytes_.data(), size_}; }

private:
    std::array<char, N> bytes_{};
    std::uint8_t size_ = 0;
};

struct failed_request {
    std::chrono::system_clock::time_point at{}; // its end
    base::fault fault = base::fault::none;      // none: the status is the model's own
    std::uint16_t status = 0;                   // what the client got, 499 where it had gone
    brief_text<36> request_id{};
    brief_text<63> service{}, deployment{}; // empty: it had none yet
    brief_text<128> replica{};              // as written in the configuration; empty: it was sent to none
};

inline bool is_clients(const failed_request& one) { return base::row(one.fault).blame == base::side::client; }

class recent_errors {
public:
    static constexpr std::size_t most = 32; // of clients, and as many others

    void add(const failed_request& one) {
        auto& to = is_clients(one) ? of_clients_ : others_;
        to.last[to.added++ % most] = one;
    }
    // Those since it was called last, or the last of them, and forgets them.
    std::vector<failed_request> take() {
        std::vector<failed_request> taken;
        for (auto* each : {&of_clients_, &others_}) {
            for (auto n = each->added - std::min(each->added, most); n < each->added; ++n)
                taken.push_back(each->last[n % most]);
            each->added = 0;
        }
        return taken;
    }

private:
    struct ring {
        std::array<failed_request, most> last;
        std::size_t added = 0; // since the last take()
    };
    ring of_clients_, others_;
};

class error_list {
public:
    static constexpr std::size_t most_of_clients = 50, most_others = 100;

    void add(const std::vector<failed_request>& some) {
        for (const auto& each : some) {
            const bool clients = is_clients(each);
            auto& to = clients ? of_clients_ : others_;
            to.push_back(each);
            if (to.size() > (clients ? most_of_clients : most_others)) to.pop_front();
        }
    }
    // The newest first.
    std::vector<failed_request> newest() const {
        std::vector<failed_request> all(others_.begin(), others_.end());
        all.insert(all.end(), of_clients_.begin(), of_clients_.end());
        std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.at > b.at; });
        return all;
    }

private:
    std::deque<failed_request> of_clients_, others_;
};

} // namespace scoregate::telemetry
