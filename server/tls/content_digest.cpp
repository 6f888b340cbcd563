#include "tls/content_digest.hpp"

#include <cstdint>
#include <new>

namespace scoregate::tls {

content_hash::content_hash() : context_(EVP_MD_CTX_new()) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
}

void content_hash::add(std::string_view text) {
    const std::uint64_t size = text.size();
    if (EVP_DigestUpdate(context_.get(), &size, sizeof size) != 1 ||
        EVP_DigestUpdate(context_.get(), text.data(), text.size()) != 1)
        throw std::bad_alloc();
}

content_digest content_hash::finish() {
    content_digest digest{};
    if (EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) != 1) throw std::bad_alloc();
    return digest;
}

} // namespace scoregate::tls
