// The second parser of the properties: one HTTP/1.1 head, as plain as RFC 9112's grammar, anything unusual refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::fuzz {

struct strict_head {
    std::string start_line;
    std::vector<std::pair<std::string, std::string>> fields{}; // names in lower case
    std::size_t size = 0;                                      // bytes of the whole head

    std::vector<std::string> values(std::string_view lower_name) const {
        std::vector<std::string> all;
        for (const auto& [name, value] : fields)
            if (name == lower_name) all.push_back(value);
        return all;
    }
};

inline std::optional<strict_head> read_strictly(std::string_view bytes) {
    strict_head head;
    bool first = true;
    for (;;) {
        const auto end = bytes.find("\r\n", head.size);
        if (end == std::string_view::npos) return std::nullopt;
        const auto line = bytes.substr(head.size, end - head.size);
        head.size = end + 2;
        for (const char c : line)
            if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return std::nullopt;
        if (first) {
            if (line.empty()) return std::nullopt;
            head.start_line = line;
            first = false;
            continue;
        }
        if (line.empty()) return head;
        const auto colon = line.find(':');
        if (colon == std::string_view::npos || colon == 0) return std::nullopt;
        std::string name;
        for (const char c : line.substr(0, colon)) {
            const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            const bool other =
                (c >= '0' && c <= '9') || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
            if (!letter && !other) return std::nullopt;
            name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        auto value = line.substr(colon + 1);
        if (!value.starts_with(' ')) return std::nullopt; // as everyone writes it: ": "
        value.remove_prefix(1);
        if (!value.empty() && (std::string_view(" \t").find(value.front()) != std::string_view::npos ||
                               std::string_view(" \t").find(value.back()) != std::string_view::npos))
            return std::nullopt;
        head.fields.emplace_back(std::move(name), std::string(value));
    }
}

// How long the body is that follows; chunked without length. Empty: it could be read in two ways.
struct strict_framing {
    bool chunked = false;
    std::optional<std::uint64_t> length{};
};
inline std::optional<strict_framing> frame_strictly(const strict_head& head) {
    const auto lengths = head.values("content-length"), encodings = head.values("transfer-encoding");
    if (lengths.size() + encodings.size() > 1) return std::nullopt;
    if (!encodings.empty()) {
        if (encodings.front() != "chunked") return std::nullopt;
        return strict_framing{true, {}};
    }
    if (lengths.empty()) return strict_framing{};
    const auto& digits = lengths.front();
    if (digits.empty() || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
    std::uint64_t length = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return std::nullopt;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (length > (~std::uint64_t{0} - digit) / 10) return std::nullopt;
        length = length * 10 + digit;
    }
    return strict_framing{false, length};
}

} // namespace scoregate::fuzz
