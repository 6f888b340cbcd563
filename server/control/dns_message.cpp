#include "control/dns_message.hpp"

#include <ares.h>
#include <ares_nameser.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace scoregate::control {

namespace {

constexpr std::size_t longest_name = 253; // as text, without the dot at its end

struct srv_reply_free {
    void operator()(ares_srv_reply* of) const { ares_free_data(of); }
};

// A walk over the records of a message (RFC 1035 4.1). c-ares knows names and their compression.
class cursor {
public:
    explicit cursor(std::span<const unsigned char> message) : message_(message) {}

    bool skip(std::size_t bytes) {
        if (bytes > message_.size() - at_) return false;
        at_ += bytes;
        return true;
    }
    bool skip_name() {
        char* name = nullptr;
        long length = 0;
        if (ares_expand_name(message_.data() + at_, message_.data(), static_cast<int>(message_.size()), &name,
                             &length) != ARES_SUCCESS)
            return false;
        ares_free_string(name);
        return skip(static_cast<std::size_t>(length));
    }
    std::optional<std::uint32_t> number(std::size_t bytes) {
        const auto begin = at_;
        if (!skip(bytes)) return std::nullopt;
        std::uint32_t value = 0;
        for (auto at = begin; at != at_; ++at) value = value << 8 | message_[at];
        return value;
    }

private:
    std::span<const unsigned char> message_;
    std::size_t at_ = 0; // never past the end
};

// The least TTL of the records in the answer section, which ares_parse_srv_reply does not tell. Nothing if it cannot be
// read.
std::optional<std::uint32_t> least_ttl(std::span<const unsigned char> message) {
    cursor at(message);
    if (!at.skip(4)) return std::nullopt; // id and flags
    const auto questions = at.number(2), records = at.number(2);
    if (!questions || !records || !at.skip(4)) return std::nullopt;
    for (auto left = *questions; left > 0; --left)
        if (!at.skip_name() || !at.skip(4)) return std::nullopt;
    std::optional<std::uint32_t> least;
    for (auto left = *records; left > 0; --left) {
        if (!at.skip_name() || !at.skip(4)) return std::nullopt;
        const auto ttl = at.number(4), size = at.number(2);
        if (!ttl || !size || !at.skip(*size)) return std::nullopt;
        least = std::min(least.value_or(*ttl), *ttl);
    }
    return least;
}

} // namespace

srv_answer read_srv_answer(std::span<const unsigned char> message) {
    srv_answer answer;
    ares_srv_reply* list = nullptr;
    answer.status = ares_parse_srv_reply(message.data(), static_cast<int>(message.size()), &list);
    const std::unique_ptr<ares_srv_reply, srv_reply_free> found(list);
    unsigned lowest = 65536;
    for (const auto* each = list; each != nullptr; each = each->next)
        lowest = std::min<unsigned>(lowest, each->priority);
    for (const auto* each = list; each != nullptr; each = each->next) {
        std::string host = each->host;
        std::transform(host.begin(), host.end(), host.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (host.ends_with('.')) host.pop_back();
        // A target "." says that there is no such service (RFC 2782). What is longer than a name can be (RFC
        // 1035 2.3.4) is none either; c-ares follows pointers to any length.
        if (each->priority == lowest && !host.empty() && host.size() <= longest_name)
            answer.targets.push_back({std::move(host), each->port});
    }
    if (answer.status == ARES_SUCCESS && answer.targets.empty()) answer.status = ARES_ENODATA;
    answer.ttl = std::chrono::seconds(least_ttl(message).value_or(0));
    return answer;
}

} // namespace scoregate::control
