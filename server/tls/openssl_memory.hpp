// Where OpenSSL's memory comes from.
#pragma once

#include <cstddef>

namespace scoregate::tls {

// What OpenSSL gets, in the terms of CRYPTO_set_mem_functions(3); the last two arguments are not looked at.
namespace openssl_memory {
void* take(std::size_t size, const char* file, int line);
void* resize(void* block, std::size_t size, const char* file, int line);
void give_back(void* block, const char* file, int line);
} // namespace openssl_memory

// From here on OpenSSL's record buffers come from base::block_store, all else from the heap as before. Called once,
// before anything else of OpenSSL; false, and nothing changed, if it was too late.
bool keep_record_buffers_apart();

} // namespace scoregate::tls
