// Every way in which servers in the field have been seen to read a request's framing where RFC 9112 says that there is
// only one: bare LF as a line's end, folded lines, space before a colon, `_` for `-`, the first or the last of several
// lengths, a length beside an encoding, `chunked` anywhere in an encoding. A head that is accepted must come out the
// same in all of them: then no two servers in a row can disagree about where it ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace scoregate::fuzz {

struct lenient_framing {
    bool chunked = false;
    std::uint64_t length = 0;
    friend bool operator==(const lenient_framing&, const lenient_framing&) = default;
};

namespace lenient {

using lines = std::vector<std::string>;
using fields = std::vector<std::pair<std::string, std::string>>;

inline std::string trimmed(std::string_view text) {
    constexpr std::string_view white = " \t\r\n\v\f";
    const auto begin = text.find_first_not_of(white);
    if (begin == std::string_view::npos) return {};
    return std::string(text.substr(begin, text.find_last_not_of(white) - begin + 1));
}

inline lines lines_of(std::string_view head, bool lf_ends, bool folds) {
    lines all;
    const std::string_view end = lf_ends ? "\n" : "\r\n";
    while (!head.empty()) {
        const auto at = head.find(end);
        const auto line = head.substr(0, at);
        if (folds && !all.empty() && !line.empty() && (line.front() == ' ' || line.front() == '\t'))
            all.back() += ' ' + trimmed(line);
        else
            all.emplace_back(line);
        if (at == std::string_view::npos) break;
        head.remove_prefix(at + end.size());
    }
    if (!all.empty()) all.erase(all.begin()); // the request line
    return all;
}

inline fields fields_of(const lines& from, bool trims, bool underscores) {
    fields all;
    for (const auto& line : from) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        std::string name = trims ? trimmed(line.substr(0, colon)) : line.substr(0, colon);
        for (char& c : name) {
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
            if (c == '_' && underscores) c = '-';
        }
        all.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
    }
    return all;
}

// As strtoull() would: what is no digit ends it.
inline std::uint64_t number_of(std::string_view text) {
    std::uint64_t number = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') break;
        number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return number;
}

inline lenient_framing framing_of(const fields& all, bool last_wins, bool length_wins, bool chunked_anywhere) {
    lenient_framing found;
    bool has_length = false;
    for (const auto& [name, value] : all) {
        if (name == "content-length" && (last_wins || !has_length)) {
            found.length = number_of(value);
            has_length = true;
        }
        if (name != "transfer-encoding") continue;
        std::string lower = value;
        for (char& c : lower)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        found.chunked = found.chunked ||
                        (chunked_anywhere ? lower.find("chunked") != std::string::npos : lower.ends_with("chunked"));
    }
    if (has_length && length_wins) found.chunked = false;
    if (found.chunked) found.length = 0;
    return found;
}

} // namespace lenient

// What each of them reads.
inline std::vector<lenient_framing> frame_leniently(std::string_view head) {
    std::vector<lenient_framing> all;
    const auto bit = [](unsigned ways, unsigned which) { return (ways >> which & 1) != 0; };
    for (unsigned lines = 0; lines < 4; ++lines) {
        const auto from = lenient::lines_of(head, bit(lines, 0), bit(lines, 1));
        for (unsigned names = 0; names < 4; ++names) {
            const auto fields = lenient::fields_of(from, bit(names, 0), bit(names, 1));
            for (unsigned ways = 0; ways < 8; ++ways)
                all.push_back(lenient::framing_of(fields, bit(ways, 0), bit(ways, 1), bit(ways, 2)));
        }
    }
    return all;
}

} // namespace scoregate::fuzz
