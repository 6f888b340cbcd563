// `scoregate cert inspect`: a pair explained to somebody who knows little of TLS. The checks are those of a start
// (certificate_check), told with what passed, too. Never a byte of the private key.
#pragma once

#include "config/model.hpp"
#include "tls/certificate.hpp"

#include <string>

namespace scoregate::tls {

struct certificate_report {
    std::string text; // lines, each ended
    bool usable;      // a start takes the pair, and its leaf is valid at `now`
};

// Shows what can be read, whatever is wrong with the rest. An empty cname is not held against the pair.
certificate_report inspect(const config::certificate_files&, certificate::time_point now);

} // namespace scoregate::tls
