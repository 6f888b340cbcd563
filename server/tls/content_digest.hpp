// What files held, in 32 bytes: equal digests mean that a reload would change nothing. Plain value.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <string_view>

namespace scoregate::tls {

using content_digest = std::array<unsigned char, 32>; // SHA-256

// Digests a sequence of texts; where one ends and the next begins counts. Throws std::bad_alloc.
class content_hash {
public:
    content_hash();
    void add(std::string_view text);
    content_digest finish(); // once

private:
    struct deleter {
        void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, deleter> context_;
};

} // namespace scoregate::tls
