// Heads for tests: their bytes, and what find_head_end and parse together make of them.
#pragma once

#include "http/head.hpp"
#include "support/results.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace scoregate::http {

// `lines` with CRLF behind each, and the empty line.
inline std::string head_of(const std::vector<std::string>& lines) {
    std::string bytes;
    for (const auto& line : lines) bytes += line + "\r\n";
    return bytes + "\r\n";
}

// Found and parsed as the data path does it; `bytes` must outlive what is looked at in `head`.
template <class Head, class... Method>
result<void> read_head(Head& head, std::string_view bytes, const head_limits& limits, Method... to) {
    std::size_t scanned = 0;
    const auto end = find_head_end(bytes, scanned, limits);
    if (!end) return end.error();
    if (!*end) return base::fail(fault::internal_error, "not a whole head");
    return head.parse(bytes.substr(0, **end), limits, to...);
}

inline std::string named(fault kind) { return std::string(base::token(kind)); }

} // namespace scoregate::http
