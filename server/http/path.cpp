#include "http/path.hpp"

#include "http/characters.hpp"

#include <algorithm>
#include <optional>

namespace scoregate::http {

namespace {

using base::fail;
using base::fault;
using base::result;

// True if there is nothing to decode and nothing to refuse, which is nearly always.
bool is_plain(std::string_view path) {
    char before = 0;
    for (const char c : path) {
        if (c == '%' || (before == '/' && (c == '/' || c == '.' || c == ';'))) return false;
        before = c;
    }
    return true;
}

int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char small = static_cast<char>(c | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

constexpr std::size_t escape_size = 3; // "%41"

// The byte of the escape that `text` begins with.
std::optional<unsigned char> escaped(std::string_view text) {
    if (text.size() < escape_size || text[0] != '%' || digit(text[1]) < 0 || digit(text[2]) < 0) return std::nullopt;
    return static_cast<unsigned char>(digit(text[1]) << 4 | digit(text[2]));
}

void append_escape(std::string& to, unsigned char byte) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    to.append({'%', digits[byte >> 4], digits[byte & 15]});
}

// What may follow the first byte of a character beyond ASCII (RFC 3629 4): how many, and the bounds of the first of
// them. They leave out overlong forms, control characters (U+0080 to U+009F), surrogates and what is beyond U+10FFFF.
struct utf8_tail {
    std::size_t size;
    unsigned char from = 0x80, to = 0xbf;
};
std::optional<utf8_tail> tail_of(unsigned char first) {
    if (first == 0xc2) return utf8_tail{1, 0xa0};
    if (first >= 0xc3 && first <= 0xdf) return utf8_tail{1};
    if (first == 0xe0) return utf8_tail{2, 0xa0};
    if (first == 0xed) return utf8_tail{2, 0x80, 0x9f};
    if (first >= 0xe1 && first <= 0xef) return utf8_tail{2};
    if (first == 0xf0) return utf8_tail{3, 0x90};
    if (first >= 0xf1 && first <= 0xf3) return utf8_tail{3};
    if (first == 0xf4) return utf8_tail{3, 0x80, 0x8f};
    return std::nullopt;
}

// Moves one character beyond ASCII, whose first byte is `first`, from the front of `text`.
bool take_utf8(std::string_view& text, unsigned char first, std::string& to) {
    const auto tail = tail_of(first);
    if (!tail) return false;
    append_escape(to, first);
    auto rest = text.substr(escape_size);
    for (std::size_t i = 0; i < tail->size; ++i) {
        const auto byte = escaped(rest);
        if (!byte || *byte < (i == 0 ? tail->from : 0x80) || *byte > (i == 0 ? tail->to : 0xbf)) return false;
        append_escape(to, *byte);
        rest.remove_prefix(escape_size);
    }
    text = rest;
    return true;
}

result<void> take_escape(std::string_view& text, std::string& to) {
    const auto byte = escaped(text);
    if (!byte) return fail(fault::bad_request, "A percent sign in the path that begins no escape (RFC 3986 2.1)");
    const auto c = static_cast<char>(*byte);
    if (*byte >= 0x80) {
        if (take_utf8(text, *byte, to)) return {};
        return fail(fault::bad_request,
                    "The escapes in the path are not UTF-8 without control characters (RFC 3629 4)");
    }
    if (*byte < 0x20 || *byte == 0x7f)
        return fail(fault::bad_request, "An escaped control character in the path (RFC 3986 7.3)");
    if (c == '/' || c == '\\' || c == '%')
        return fail(fault::bad_request, "An escaped slash, backslash or percent sign in the path (RFC 3986 7.3)");
    if (is_one_of(c, unreserved_characters))
        to.push_back(c);
    else
        append_escape(to, *byte);
    text.remove_prefix(escape_size);
    return {};
}

// The segment up to where somebody might see its end.
std::string_view name_of(std::string_view segment) {
    for (const std::string_view end : {";", "%3B", "%3F", "%23"}) segment = segment.substr(0, segment.find(end));
    return segment;
}

result<void> check_segments(std::string_view path) {
    do {
        path.remove_prefix(1);
        const auto segment = path.substr(0, path.find('/'));
        path.remove_prefix(segment.size());
        const auto name = name_of(segment);
        const bool closing_slash = segment.empty() && path.empty();
        if (name.empty() && !closing_slash)
            return fail(fault::bad_request, "An empty segment in the path (RFC 3986 3.3)");
        if (name == "." || name == "..") return fail(fault::bad_request, "A dot segment in the path (RFC 3986 3.3)");
    } while (!path.empty());
    return {};
}

} // namespace

result<std::string_view> normalise_path(std::string_view sent, std::string& room) {
    if (is_plain(sent)) return sent;
    room.clear();
    while (!sent.empty()) {
        const auto plain = sent.substr(0, sent.find('%'));
        room.append(plain);
        sent.remove_prefix(plain.size());
        if (sent.empty()) break;
        if (const auto taken = take_escape(sent, room); !taken) return taken.error();
    }
    if (const auto checked = check_segments(room); !checked) return checked.error();
    return std::string_view(room);
}

bool may_be_read_as(std::string_view path, std::string_view plain, bool beneath) {
    while (!path.empty()) {
        const auto byte = escaped(path);
        const auto c = byte ? static_cast<char>(*byte) : path.front();
        if (c == ';' || c == '?' || c == '#') {
            if (plain.empty() && !beneath) return true;
            // Nested no deeper than `plain` has slashes: each time it has to go on with one.
            if (may_be_read_as(path.substr(std::min(path.find('/'), path.size())), plain, beneath)) return true;
        }
        if (plain.empty()) return beneath && c == '/';
        if (c != plain.front()) return false;
        path.remove_prefix(byte ? escape_size : 1);
        plain.remove_prefix(1);
    }
    return plain.empty() && !beneath;
}

} // namespace scoregate::http
