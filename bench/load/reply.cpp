#include "reply.hpp"

#include <algorithm>
#include <charconv>

namespace load {
namespace {

constexpr std::size_t longest_line = 16 * 1024;

char lower(char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

bool starts_ignoring_case(std::string_view text, std::string_view start) {
    return equal_ignoring_case(text.substr(0, start.size()), start);
}

// The whole text is a number, or there is none.
std::optional<std::size_t> parse_number(std::string_view text, int base = 10) {
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

} // namespace

std::string_view reply::take(std::string_view& bytes) {
    while (!bytes.empty()) {
        switch (part_) {
        case part::whole:
        case part::broken: return {};
        case part::sized:
        case part::until_end:
        case part::chunk_data: return take_body(bytes);
        default:
            if (!take_line(bytes)) return {};
        }
        const bool empty = line_.empty();
        switch (part_) {
        case part::head: read_head_line(); break;
        case part::chunk_size: read_chunk_size(); break;
        case part::chunk_end: part_ = empty ? part::chunk_size : part::broken; break;
        case part::trailer:
            if (empty) part_ = part::whole;
            break;
        default: break;
        }
        line_.clear();
    }
    return {};
}

void reply::end() {
    if (!whole()) part_ = part_ == part::until_end ? part::whole : part::broken;
}

// True once line_ holds a whole line, without its end.
bool reply::take_line(std::string_view& bytes) {
    const auto end = bytes.find('\n');
    const auto piece = bytes.substr(0, end);
    line_.append(piece);
    bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
    if (line_.size() > longest_line) part_ = part::broken;
    if (end == bytes.npos || broken()) return false;
    if (line_.empty() || line_.back() != '\r') {
        part_ = part::broken;
        return false;
    }
    line_.pop_back();
    return true;
}

void reply::read_head_line() {
    const std::string_view line = line_;
    if (status_ == 0) return read_status_line();
    if (line.empty()) return end_head();
    const auto colon = line.find(':');
    if (colon == line.npos) {
        part_ = part::broken;
        return;
    }
    const auto name = line.substr(0, colon);
    auto value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
    if (equal_ignoring_case(name, "content-length")) {
        content_length_ = parse_number(value);
        if (!content_length_) part_ = part::broken;
    } else if (equal_ignoring_case(name, "transfer-encoding")) {
        chunked_ = equal_ignoring_case(value, "chunked");
        if (!chunked_) part_ = part::broken;
    } else if (equal_ignoring_case(name, "connection")) {
        closes_ = closes_ || equal_ignoring_case(value, "close");
    } else if (equal_ignoring_case(name, "content-type")) {
        event_stream_ = starts_ignoring_case(value, "text/event-stream");
    }
}

void reply::read_status_line() {
    const std::string_view line = line_;
    const auto number = line.starts_with("HTTP/1.1 ") ? parse_number(line.substr(9, 3)) : std::nullopt;
    if (!number || *number < 100) {
        part_ = part::broken;
        return;
    }
    status_ = int(*number);
}

void reply::end_head() {
    if (status_ < 200) {
        *this = {};
    } else if (chunked_) {
        part_ = part::chunk_size;
    } else if (!content_length_) {
        closes_ = true;
        part_ = part::until_end;
    } else {
        left_ = *content_length_;
        part_ = left_ > 0 ? part::sized : part::whole;
    }
}

void reply::read_chunk_size() {
    const auto size = parse_number(std::string_view(line_).substr(0, line_.find(';')), 16);
    left_ = size.value_or(0);
    part_ = !size ? part::broken : left_ > 0 ? part::chunk_data : part::trailer;
}

std::string_view reply::take_body(std::string_view& bytes) {
    const auto n = part_ == part::until_end ? bytes.size() : std::min(left_, bytes.size());
    const auto piece = bytes.substr(0, n);
    bytes.remove_prefix(n);
    body_bytes_ += n;
    if (part_ != part::until_end) left_ -= n;
    if (part_ != part::until_end && left_ == 0) part_ = part_ == part::sized ? part::whole : part::chunk_end;
    return piece;
}

} // namespace load
