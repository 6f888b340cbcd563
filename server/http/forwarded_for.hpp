// X-Forwarded-For as trusted proxies write it: whose request it is, and what of the list can be believed. No I/O, no
// allocation but for the caller's text.
#pragma once

#include "base/network.hpp"
#include "http/head.hpp"

#include <string>
#include <vector>

namespace scoregate::http {

// Each proxy has appended who it had the request from, so the list (all lines are one, RFC 9110 5.3) is read from its
// end: from a trusted `peer` on, an address is believed, and the one before it if that is trusted too. The first that
// is not trusted is the client's; where the list ends, or something else than an address stands in it, it is the last
// one that was believed. What stands before is only the client's claim.
//
// Puts the client's address, those of the proxies after it and the peer's into `chain`, with ", " between; returns the
// client's.
base::ip_address read_forwarded_for(const std::vector<field>&, const base::ip_address& peer,
                                    const std::vector<base::network>& trusted, std::string& chain);

} // namespace scoregate::http
