// `scoregate dns check`: whether the names that clients use lead to where scoregate is. Azure sets such records by
// itself; here somebody has to. Command line only; blocks.
#pragma once

#include "config/load.hpp"

#include <string>
#include <vector>

namespace scoregate::app {

// Every certificate's name, or without TLS every service's hosts, is looked up as replicas are and compared with
// `addresses`. Prints a line for each name: match, mismatch or not yet. 0 if all match, 1 if not, 2 if there is nothing
// to look up or an address is none.
int check_dns(const config::source&, const std::vector<std::string>& addresses);

} // namespace scoregate::app
