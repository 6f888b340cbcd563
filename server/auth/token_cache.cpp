#include "auth/token_cache.hpp"

#include <algorithm>
#include <cstring>

namespace scoregate::auth {

token_cache::verdict token_cache::judge(std::string_view token, const token_verifier& by, time_point now) {
    // Too long for a token; its digest would cost as much as the sender likes.
    if (token.size() > token_verifier::max_token_size) return {base::fault::auth_malformed};
    const auto version = by.version();
    std::array<char, sizeof version> prefix{};
    std::memcpy(prefix.data(), &version, sizeof version);
    const auto digest = sha256({prefix.data(), prefix.size()}, token);
    if (rows_.empty()) rows_.resize(rows);
    auto& known = row_of(digest);
    auto place = std::ranges::find_if(known, [&](const entry& each) { return equal(each.token, digest); });
    if (place == known.end() || now >= place->good_until) {
        if (place != known.end()) *place = {}; // its time is over
        const auto good = by.verify(token, now);
        if (!good) return {good.error().kind};
        if (place == known.end()) --place; // the least used of the row gives way
        *place = {digest, good->good_until, good->caller};
    }
    const verdict said{base::fault::none, place->caller};
    std::rotate(known.begin(), place, place + 1);
    return said;
}

token_cache::row& token_cache::row_of(const sha256_digest& digest) {
    std::uint64_t number = 0;
    std::memcpy(&number, digest.data(), sizeof number);
    return rows_[number % rows];
}

} // namespace scoregate::auth
