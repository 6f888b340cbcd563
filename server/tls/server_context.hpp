// The SSL_CTX of one core: TLS 1.2 and nothing else, forward-secret AEAD ciphers, http/1.1 by ALPN, stateless session
// tickets. Made on the core's thread or before it starts; OpenSSL counts references on the certificate atomically, but
// a context of its own spares each core the counters that every new connection would otherwise share.
#pragma once

#include "tls/certificate.hpp"
#include "tls/openssl_ptr.hpp"

#include <array>

namespace scoregate::tls {

// RFC 5077 keys as OpenSSL lays them out: 16 bytes name, 32 bytes HMAC key, 32 bytes AES key. Contexts with equal keys
// resume each other's sessions, so all cores get the same ones.
using ticket_keys = std::array<unsigned char, 80>;

// Fresh keys; throws std::runtime_error when the random generator fails.
ticket_keys random_ticket_keys();

// Throws std::runtime_error with OpenSSL's reasons for what load_certificate could not have seen (memory, a crypto
// policy of the system that forbids what scoregate needs).
ssl_ctx_ptr make_server_context(const certificate&, const ticket_keys&);

} // namespace scoregate::tls
