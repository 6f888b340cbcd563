#include "control/dns_message.hpp"
#include "control/name_answer.hpp"
#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"

#include <ares.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace scoregate::fuzz {

namespace {

using namespace control;
using kind = name_answer::kind;
using time_point = name_record::time_point;

// RFC 1035 4.1, read again: the SRV records of the answer section and the least TTL of all its records.
struct seen {
    std::map<unsigned, std::vector<service_target>> by_priority;
    std::optional<std::uint32_t> ttl;
};

class message {
public:
    explicit message(input bytes) : bytes_(bytes) {}

    std::optional<unsigned> u16() {
        if (at_ + 2 > bytes_.size()) return std::nullopt;
        const auto value = static_cast<unsigned>(bytes_[at_] << 8 | bytes_[at_ + 1]);
        at_ += 2;
        return value;
    }
    // Labels joined by dots, in lower case; what is no letter, digit, dash or underscore makes it "?": c-ares escapes.
    std::optional<std::string> name() {
        std::string made;
        std::size_t at = at_;
        bool jumped = false;
        for (unsigned steps = 0; steps < 256; ++steps) {
            if (at >= bytes_.size()) return std::nullopt;
            const unsigned length = bytes_[at];
            if (length == 0) {
                if (!jumped) at_ = at + 1;
                return made;
            }
            if (length >= 0xc0) {
                if (at + 1 >= bytes_.size()) return std::nullopt;
                if (!jumped) at_ = at + 2;
                jumped = true;
                at = (length & 0x3f) << 8 | bytes_[at + 1];
                continue;
            }
            if (length > 63 || at + 1 + length > bytes_.size()) return std::nullopt;
            if (!made.empty()) made += '.';
            for (unsigned n = 0; n < length; ++n) {
                char c = static_cast<char>(bytes_[at + 1 + n]);
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
                const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
                made += plain ? c : '?';
            }
            at += 1 + length;
        }
        return std::nullopt;
    }
    bool skip(std::size_t count) {
        if (at_ + count > bytes_.size()) return false;
        at_ += count;
        return true;
    }

    std::optional<seen> read() {
        seen all;
        if (!skip(4)) return std::nullopt;
        const auto questions = u16(), records = u16();
        if (!questions || !records || !skip(4)) return std::nullopt;
        for (unsigned n = 0; n < *questions; ++n)
            if (!name() || !skip(4)) return std::nullopt;
        for (unsigned n = 0; n < *records; ++n) {
            if (!name()) return std::nullopt;
            const auto type = u16(), of_class = u16(), high = u16(), low = u16(), size = u16();
            if (!size) return std::nullopt;
            const auto ttl = static_cast<std::uint32_t>(*high) << 16 | *low;
            all.ttl = std::min(all.ttl.value_or(ttl), ttl);
            const auto behind = at_ + *size;
            if (*type == 33 && *of_class == 1) {
                const auto priority = u16(), weight = u16(), port = u16();
                auto host = name();
                if (!port || !weight || !host) return std::nullopt;
                if (!host->empty() && host->size() <= 253)
                    all.by_priority[*priority].push_back({*host, static_cast<std::uint16_t>(*port)});
                else
                    all.by_priority.try_emplace(*priority);
            }
            if (behind > bytes_.size()) return std::nullopt;
            at_ = behind;
        }
        return all;
    }

private:
    input bytes_;
    std::size_t at_ = 0;
};

bool plain(const std::vector<service_target>& targets) {
    return std::none_of(targets.begin(), targets.end(),
                        [](const auto& each) { return each.host.find_first_of("?\\") != std::string::npos; });
}

void read_message(input bytes) {
    const std::vector<unsigned char> copy(bytes.begin(), bytes.end()); // of its own, so that a byte too far is seen
    auto answer = read_srv_answer(copy);
    must((answer.status == ARES_SUCCESS) == !answer.targets.empty(), "an answer has targets, a failure none");
    for (const auto& each : answer.targets) {
        must(!each.host.empty() && each.host.size() <= 253, "a target has a name");
        must(each.host.find('\0') == std::string::npos, "of text");
    }
    auto targets = answer.targets;
    const bool more = restrict_to(2, targets);
    must(targets.size() <= 2 && (more || targets.size() <= answer.targets.size()), "no more than are wanted");
    auto reversed = answer.targets;
    std::reverse(reversed.begin(), reversed.end());
    restrict_to(2, reversed);
    must(reversed == targets, "the same ones in whatever order they come");
    if (answer.status != ARES_SUCCESS) return;

    const auto second = message(bytes).read();
    if (!second || second->by_priority.empty()) return; // c-ares is more lenient about what stands behind
    const auto& first_tried = second->by_priority.begin()->second;
    if (!plain(first_tried) || !plain(answer.targets)) return;
    must(std::is_permutation(answer.targets.begin(), answer.targets.end(), first_tried.begin(), first_tried.end()),
         "the targets of the lowest priority");
    must(answer.ttl == std::chrono::seconds(second->ttl.value_or(0)), "the least TTL");
}

// Each four bytes are an answer: what, how long after the one before, TTL, addresses.
void take_answers(input bytes) {
    using boost::asio::ip::address;
    static const std::vector<address> known{
        boost::asio::ip::make_address("10.0.0.1"), boost::asio::ip::make_address("10.0.0.2"),
        boost::asio::ip::make_address("fd00::1"), boost::asio::ip::make_address("fd00::2")};
    constexpr name_record::limits within{std::chrono::seconds(1), std::chrono::seconds(60)};
    name_record record;
    time_point now{std::chrono::hours(1000)};
    std::optional<time_point> last_found;
    for (; bytes.size() >= 4; bytes = bytes.subspan(4)) {
        name_answer answer;
        answer.what = static_cast<kind>(bytes[0] % 3);
        now += std::chrono::seconds(bytes[1]);
        answer.ttl = std::chrono::seconds(bytes[2] * bytes[2] * 100);
        if (answer.what == kind::found)
            for (unsigned n = 0; n < 8; ++n)
                if ((bytes[3] >> n & 1) != 0) answer.addresses.push_back(known[n % known.size()]);
        if (answer.what == kind::found && answer.addresses.empty()) answer.addresses.push_back(known.front());
        const auto before = record.addresses();
        const auto what = answer.what;
        const auto outcome = record.take(answer, now, within);

        must(record.answered() && record.missing() == (what == kind::none), "the last answer is remembered");
        must(record.due() > now && record.due() <= now + within.max_ttl, "it is asked again in time, and not at once");
        const std::set<address> once(record.addresses().begin(), record.addresses().end());
        must(once.size() == record.addresses().size(), "no address twice");
        must(outcome.changed || before == record.addresses(), "no change is untold");
        if (what == kind::found) {
            must(once == std::set<address>(answer.addresses.begin(), answer.addresses.end()), "what is found counts");
            last_found = now;
        }
        if (what == kind::failed) must(before == record.addresses(), "a failure takes nothing away");
        if (last_found && now - *last_found < name_record::grace)
            must(!record.addresses().empty(), "a name is believed to be there for the grace");
    }
}

} // namespace

void dns_answer(input bytes) {
    if (bytes.empty()) return;
    const auto rest = bytes.subspan(1);
    if (bytes.front() == 'M')
        read_message(rest);
    else
        take_answers(rest);
}

} // namespace scoregate::fuzz
