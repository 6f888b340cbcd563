#include "http/trace_state.hpp"

#include "http/characters.hpp"

#include <algorithm>
#include <array>

namespace scoregate::http {

namespace {

constexpr std::size_t most_entries = 32, long_entry = 128, longest_key = 256, longest_value = 256;

constexpr character_set key_characters = [] {
    character_set table{};
    for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789_-*/@"))
        table[static_cast<unsigned char>(c)] = true;
    return table;
}();

constexpr character_set state_characters = [] {
    character_set table{};
    for (unsigned c = 0x20; c <= 0x7e; ++c) table[c] = c != ',' && c != '=';
    return table;
}();

std::string_view without_white_space(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

bool is_entry(std::string_view text) {
    const auto key = text.substr(0, text.find('='));
    if (key.empty() || key.size() == text.size() || key.size() > longest_key) return false;
    const char first = key.front();
    const bool begins = (first >= 'a' && first <= 'z') || (first >= '0' && first <= '9');
    const auto value = text.substr(key.size() + 1);
    return begins && all_of(key, key_characters) && !value.empty() && value.size() <= longest_value &&
           all_of(value, state_characters);
}

struct entries {
    std::array<std::string_view, most_entries> each;
    std::size_t count = 0;
    std::size_t size = 0; // joined

    // False if one is malformed, or there are too many.
    bool add(std::string_view list) {
        for (;;) {
            const auto comma = list.find(',');
            const auto entry = without_white_space(list.substr(0, comma));
            if (!entry.empty()) { // empty ones are allowed, and mean nothing
                if (count == most_entries || !is_entry(entry)) return false;
                each[count++] = entry;
                size += entry.size() + (count > 1 ? 1 : 0);
            }
            if (comma == std::string_view::npos) return true;
            list.remove_prefix(comma + 1);
        }
    }

    // From the end, what is longer than `most`, until the rest has room in `room`.
    void shorten(std::size_t room, std::size_t most) {
        for (auto i = count; i-- > 0 && size > room;) {
            if (each[i].size() <= most) continue;
            size -= each[i].size() + (count > 1 ? 1 : 0);
            std::copy(each.begin() + i + 1, each.begin() + count, each.begin() + i);
            --count;
        }
    }
};

} // namespace

trace_state read_trace_state(const std::vector<field>& fields, const std::vector<std::string_view>& nominated) {
    entries found;
    trace_state made;
    for (const auto& one : fields) {
        if (one.id != field_id::tracestate || (!nominated.empty() && is_nominated(one, nominated))) continue;
        if (!found.add(one.value)) return made;
    }
    found.shorten(made.bytes.size(), long_entry);
    found.shorten(made.bytes.size(), 0);
    for (std::size_t i = 0; i < found.count; ++i) {
        if (i > 0) made.bytes[made.size++] = ',';
        std::copy(found.each[i].begin(), found.each[i].end(), made.bytes.begin() + made.size);
        made.size += found.each[i].size();
    }
    return made;
}

} // namespace scoregate::http
