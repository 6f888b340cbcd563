// What the properties of heads share.
#pragma once

#include "fuzz/must.hpp"
#include "fuzz/strict_reader.hpp"
#include "http/head.hpp"
#include "http/write.hpp"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace scoregate::fuzz {

inline constexpr http::head_limits limits{4096, 40};

// The head at the front of `bytes`, which came whole, in halves or byte by byte: always the same end or the same
// refusal.
inline std::optional<std::string_view> find(std::string_view bytes) {
    std::size_t scanned = 0;
    const auto whole = http::find_head_end(bytes, scanned, limits);
    for (const std::size_t step : {bytes.size() / 2 + 1, std::size_t{1}}) {
        scanned = 0;
        for (std::size_t have = std::min(step, bytes.size());; have = std::min(have + step, bytes.size())) {
            const auto pieces = http::find_head_end(bytes.substr(0, have), scanned, limits);
            must(scanned <= have, "looked no further than there was");
            if (!pieces) {
                must(!whole, "refused in pieces, so refused whole");
                break;
            }
            if (*pieces) {
                must(whole && *whole == *pieces, "the same end in pieces and whole");
                break;
            }
            if (have < bytes.size()) continue;
            must(whole && !*whole, "no end in pieces, so none in the whole");
            break;
        }
    }
    if (!whole || !*whole) return std::nullopt;
    must(**whole <= bytes.size() && **whole <= limits.bytes, "a head lies within its bytes and its limit");
    return bytes.substr(0, **whole);
}

inline http::request_identity identity(std::string_view client, std::string_view trace) {
    static http::identifier_source source;
    http::request_identity made;
    made.id = source.make_guid();
    made.client = http::clean_client_id(client);
    made.trace = source.continue_trace(trace);
    return made;
}

inline bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

inline void must_be_hop_free(const strict_head& head) {
    for (const auto& [name, value] : head.fields)
        must(!one_of(name, {"keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
                            "proxy-authentication-info", "te", "trailer", "upgrade"}),
             "no hop-by-hop field is passed on");
}

} // namespace scoregate::fuzz
