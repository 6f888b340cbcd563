// The SSL_CTX of one core and one version of the certificates and ticket keys: TLS 1.2 and nothing else, forward-secret
// AEAD ciphers, http/1.1 by ALPN, certificates by SNI, stateless session tickets. Immutable; made on the control
// thread, on the core's or before it starts. OpenSSL counts references on certificates atomically, but a context of its
// own spares each core the counters that every new connection would otherwise share.
#pragma once

#include "tls/certificate_store.hpp"
#include "tls/client_trust.hpp"
#include "tls/openssl_ptr.hpp"
#include "tls/ticket_keys.hpp"

#include <memory>

namespace scoregate::tls {

// Keeps all alive: handshakes under way outlive a reload. A ticket is good on every context that has its key, that
// would serve the client the same certificates and ask it for the same. `clients` is null where none is asked for one.
// Throws std::runtime_error with OpenSSL's reasons for what checking the certificates could not have seen (memory, a
// crypto policy of the system that forbids what scoregate needs).
ssl_ctx_ptr make_server_context(std::shared_ptr<const certificate_store> certificates,
                                std::shared_ptr<const ticket_keys> keys,
                                std::shared_ptr<const client_trust> clients = nullptr);

} // namespace scoregate::tls
