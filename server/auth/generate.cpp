#include "auth/generate.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace scoregate::auth {

std::string generate_key() {
    constexpr std::size_t random_bytes = 32, characters = 43;
    std::array<unsigned char, random_bytes> bytes;
    if (RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
        ERR_clear_error();
        throw std::runtime_error("the random generator failed, so no key could be made; try again");
    }
    std::array<unsigned char, (random_bytes + 2) / 3 * 4 + 1> encoded; // with padding and a NUL
    EVP_EncodeBlock(encoded.data(), bytes.data(), static_cast<int>(bytes.size()));
    std::string key(reinterpret_cast<const char*>(encoded.data()), characters);
    OPENSSL_cleanse(bytes.data(), bytes.size());
    OPENSSL_cleanse(encoded.data(), encoded.size());
    std::ranges::replace(key, '+', '-');
    std::ranges::replace(key, '/', '_');
    return key;
}

} // namespace scoregate::auth
