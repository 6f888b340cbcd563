// Where traces are sent: the parts of tracing.endpoint. Pure; any thread.
#pragma once

#include "config/model.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace scoregate::config {

struct collector {
    replica at;       // http:// or https://, without the path
    std::string path; // with its first slash; /v1/traces where the URL ends after the port
};

// `url` is http[s]://HOST[:PORT][/PATH]. Empty when it is refused; `wrong` then says what is wrong and what to do.
std::optional<collector> parse_collector(std::string_view url, std::string& wrong);

} // namespace scoregate::config
