// SHA-256 (FIPS 180-4) of what may be a secret: its state is wiped, nothing is allocated, nothing can fail. That is why
// it stands on libcrypto's plain functions: in OpenSSL 3, EVP allocates for every digest, and SHA256() is EVP with a
// search for the algorithm each time. Any thread.
#pragma once

#include <array>
#include <string_view>

namespace scoregate::auth {

using sha256_digest = std::array<unsigned char, 32>;

// Of the two parts as one text.
sha256_digest sha256(std::string_view first, std::string_view second = {}) noexcept;

// In a time that does not depend on where they differ.
bool equal(const sha256_digest&, const sha256_digest&) noexcept;

} // namespace scoregate::auth
