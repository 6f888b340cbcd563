// Where a new pair belongs among those that the configuration names, and how it gets there. Command line only; blocks.
#pragma once

#include "config/model.hpp"
#include "tls/certificate.hpp"

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace scoregate::app {

using pair_list = std::vector<config::certificate_files>;

// The pairs of one sslCname, in any case; without a cname those of the default's. An RSA and an ECDSA pair may share
// it.
pair_list namesakes(const pair_list& configured, const std::optional<std::string>& cname);

// It is not clear which pair is meant, or its files are another's too: a sentence with a remedy.
struct no_place : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The one of `candidates`, which are never none, that `fresh` takes the place of: among several the one whose pair in
// place has the same type of key, RSA or ECDSA, else the one that has no good pair in place. Its `certificate` and
// `key` are set, with `secret` too. Throws no_place.
config::certificate_files place_for(const tls::certificate& fresh, const pair_list& candidates,
                                    const pair_list& configured);

// The key is in place, the certificate is not, and the old key could not be brought back.
struct half_placed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Both files, or neither; one file if both are the same. Waits for others who do so in these folders, for `patience` at
// most. No signal ends it half way. Throws half_placed, or another std::runtime_error if nothing has changed; each with
// a sentence.
void put_in_place(const tls::certificate& fresh, const config::certificate_files& place,
                  std::chrono::milliseconds patience);

} // namespace scoregate::app
