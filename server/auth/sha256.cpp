#define OPENSSL_SUPPRESS_DEPRECATED // SHA256_Init and its like; the header says why
#include "auth/sha256.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace scoregate::auth {

sha256_digest sha256(std::string_view first, std::string_view second) noexcept {
    sha256_digest digest;
    SHA256_CTX state;
    SHA256_Init(&state);
    SHA256_Update(&state, first.data(), first.size());
    SHA256_Update(&state, second.data(), second.size());
    SHA256_Final(digest.data(), &state);
    OPENSSL_cleanse(&state, sizeof state);
    return digest;
}

bool equal(const sha256_digest& a, const sha256_digest& b) noexcept {
    return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

} // namespace scoregate::auth
