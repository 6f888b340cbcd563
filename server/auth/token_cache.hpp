// The tokens that one core has verified, so that a caller's signature is checked once and not with every request.
// Holds digests alone, of good tokens alone, each until it expires; a fixed number of them, the least used given up
// first. Owned by proxy::core, on its thread.
#pragma once

#include "auth/sha256.hpp"
#include "auth/token_verifier.hpp"
#include "base/fault.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace scoregate::auth {

class token_cache {
public:
    using time_point = token_verifier::time_point;

    static constexpr std::size_t rows = 512, places = 8; // 4,096 tokens, 192 KiB, taken when the first one comes

    struct verdict {
        base::fault why = base::fault::none; // none: the token is good
        std::uint64_t caller = 0;            // of token_verifier::verified
    };

    // What `by` says of the token. A token that is known is not verified again, and finding
    // it allocates nothing. A verifier with another version knows none of those before.
    verdict judge(std::string_view token, const token_verifier& by, time_point now);

private:
    struct entry {
        sha256_digest token{}; // and the verifier's version
        time_point good_until{};
        std::uint64_t caller = 0;
    };
    using row = std::array<entry, places>; // the last used first

    // A digest is as good as random, and nobody gets a token of his choice signed: rows fill evenly.
    row& row_of(const sha256_digest&);

    std::vector<row> rows_;
};

} // namespace scoregate::auth
